/* Transposed convolution. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_TRANSPOSE_CONV_H
#define NN_TRANSPOSE_CONV_H

#include "nn_window.h"

struct nn_transpose_conv {
    struct nn_window window;    /* dilations 1; pad_h, pad_w are cut off the output */
    int32_t in_offset;          /* minus the input's zero point, in [-127, 128] */
    int32_t out_offset;         /* the output's zero point */
    int32_t act_min;
    int32_t act_max;
    const int32_t *multipliers; /* [out_ch] */
    const int32_t *shifts;      /* [out_ch] */
    const int8_t *weights;      /* [out_ch][filter_h][filter_w][in_ch] */
    const int32_t *bias;        /* [out_ch], or null */
};

/* in [batches][in_h][in_w][in_ch], out [batches][out_h][out_w][out_ch]; they must not
 * overlap. Input (y, x) times filter tap (u, v) adds to output (y * stride_h + u - pad_h,
 * x * stride_w + v - pad_w), where that exists. Gathers per output: no scratch. */
void nn_transpose_conv_s8(const struct nn_transpose_conv *op, const int8_t *in,
                          int8_t *out);

#endif
