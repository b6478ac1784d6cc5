/* Depthwise convolution 3x3 for cores without packed products.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_SCALAR_DEPTHWISE_H
#define NN_SCALAR_DEPTHWISE_H

#include "nn_scalar.h"
#include "nn_window.h"

#define NN_SCALAR_DEPTHWISE_TAPS 9

struct nn_scalar_depthwise {
    struct nn_window window; /* filter 3x3, dilation 1, in_ch == out_ch; stride_w 1 or 2;
                              * pad_w 0 or 1, and one column of padding at most to the right */
    int8_t zero;             /* the input's zero point, which padding holds */
    int8_t act_min;
    int8_t act_max;
    int8_t is_short;        /* nn_scalar_requant */
    const int8_t *weights;   /* [out_ch][NN_SCALAR_DEPTHWISE_TAPS] */
    const int32_t *channels; /* [out_ch][NN_SCALAR_WORDS] */
};

/* in [batches][in_h][in_w][in_ch], out [batches][out_h][out_w][out_ch]. A row of outputs is
 * written while the rows that it sees are read: in and out may overlap as
 * plan/kernels/scalar.py computes. */
void nn_scalar_depthwise_s8(const struct nn_scalar_depthwise *op, const int8_t *in,
                            int8_t *out);

#endif
