/* Convolution and dense layer, int8 activations x signs.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_BIN_WEIGHT_CONV_H
#define NN_BIN_WEIGHT_CONV_H

#include <stdint.h>

#include "nn_bin_out.h"

#define NN_BIN_WEIGHT_CONV_TABLE 128 /* words: 8 groups of 4 inputs, 16 sums each */

/* A dense layer is a window of one pixel on an image of one pixel. */
struct nn_bin_weight_conv {
    int32_t batches;
    int32_t in_h;
    int32_t in_w;
    int32_t in_depth;
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
    int32_t pad;               /* the value outside the image, as int8 */
    int32_t words;             /* ceil(kernel_h * kernel_w * in_depth / 32) */
    const uint32_t *weights;   /* [words][channels] */
    nn_bin_out_fn *finish;
    const struct nn_bin_out *out;
    int32_t out_bytes;         /* of one output pixel */
};

/* in [batches][in_h][in_w][in_depth], out [batches][out_h][out_w][out_bytes]; no overlap.
 * Accumulators are sums of the stored int8 values: the input's zero point is in the
 * output stage. |acc| <= 128 * taps * in_depth < 2^24: the host checks.
 * scratch: int32_t[2 * channels + NN_BIN_WEIGHT_CONV_TABLE + 16 * words]. */
void nn_bin_weight_conv(const struct nn_bin_weight_conv *op, const int8_t *in,
                        int32_t *scratch, void *out);

#endif
