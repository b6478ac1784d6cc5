/* Depthwise convolution 3x3 for cores with packed 16-bit products.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_TUNED_DEPTHWISE_H
#define NN_TUNED_DEPTHWISE_H

#include "nn_tuned.h"
#include "nn_window.h"

/* Words of a channel: NN_TUNED_WORDS with the start doubled, then of each filter row the
 * pairs of halves (2 w0, 2 w1) and (2 w1, 2 w2): sums come out doubled. */
#define NN_TUNED_DEPTHWISE_WORDS (NN_TUNED_WORDS + 6)

struct nn_tuned_depthwise {
    struct nn_window window; /* filter 3x3, dilation 1, stride_w 1 or 2, in_ch == out_ch */
    int32_t row_words;       /* of one channel of a widened row: two inputs a word, and one
                              * more than the pairs of outputs need: (out_w + 1) / 2 *
                              * stride_w + 1 */
    int8_t zero;             /* the input's zero point, which padding holds */
    int8_t act_min;
    int8_t act_max;
    int8_t is_rectified;     /* the output's zero point is -128: what is negative saturates,
                              * however it is rounded */
    const int32_t *channels; /* [out_ch][NN_TUNED_DEPTHWISE_WORDS] */
};

/* in [batches][in_h][in_w][in_ch], out [batches][out_h][out_w][out_ch], ring
 * [3][in_ch rounded up to a multiple of 4][row_words]. All that a row of outputs sees is
 * read before it is written: in and out may overlap as plan/kernels/tuned.py computes. */
void nn_tuned_depthwise_s8(const struct nn_tuned_depthwise *op, const int8_t *in,
                           int8_t *out, uint32_t *ring);

#endif
