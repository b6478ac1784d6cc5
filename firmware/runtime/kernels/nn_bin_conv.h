/* Convolution and dense layer, signs x signs (XNOR and popcount).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_BIN_CONV_H
#define NN_BIN_CONV_H

#include <stdint.h>

#include "nn_bin_out.h"

/* Words of a patch that lie in the image, in a line. */
struct nn_bin_run {
    int32_t first;
    int32_t words;
};

struct nn_bin_conv;

/* acc [sums]: of each channel the products of its weights and a patch's runs, which hold `signs`
 * signs. */
typedef void nn_bin_multiply_fn(const struct nn_bin_conv *op, const uint32_t *patch,
                                const struct nn_bin_run *runs, const struct nn_bin_run *end,
                                int32_t signs, int32_t *acc);

/* A dense layer is a window of one pixel on an image of one pixel. */
struct nn_bin_conv {
    int32_t batches;
    int32_t in_h;
    int32_t in_w;
    int32_t in_words;          /* words of one input pixel */
    int32_t in_bits;           /* signs in them */
    int32_t out_h;
    int32_t out_w;
    int32_t kernel_h;
    int32_t kernel_w;
    int32_t stride_h;
    int32_t stride_w;
    int32_t dilation_h;
    int32_t dilation_w;
    int32_t pad_top;
    int32_t pad_left;
    const uint32_t *pad_words; /* [in_words] outside the image; null: nothing is added */
    const uint32_t *weights;   /* as `multiply` takes them */
    nn_bin_multiply_fn *multiply;
    int32_t sums;              /* that it writes: the channels, or more */
    nn_bin_out_fn *finish;
    const struct nn_bin_out *out;
    int32_t out_bytes;         /* of one output pixel */
};

/* in [batches][in_h][in_w][in_words], out [batches][out_h][out_w][out_bytes]; no overlap.
 * scratch: int32_t[sums + 2 * kernel_h + kernel_h * kernel_w * in_words].
 * The bits past in_bits are clear in every pixel and weight. */
void nn_bin_conv(const struct nn_bin_conv *op, const uint32_t *in, int32_t *scratch,
                 void *out);

/* One channel at a time: weights [channels][kernel_h][kernel_w][in_words]. */
nn_bin_multiply_fn nn_bin_conv_words;

#endif
