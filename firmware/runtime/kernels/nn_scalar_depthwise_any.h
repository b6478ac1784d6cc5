/* Depthwise convolution of any window for cores without packed products.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_SCALAR_DEPTHWISE_ANY_H
#define NN_SCALAR_DEPTHWISE_ANY_H

#include "nn_scalar.h"
#include "nn_window.h"

struct nn_scalar_depthwise_any {
    struct nn_window window; /* in_ch == out_ch */
    int8_t zero;             /* the input's zero point, which padding holds */
    int8_t act_min;
    int8_t act_max;
    int8_t is_short;         /* nn_scalar_requant */
    const int8_t *weights;   /* [filter_h][filter_w][out_ch] */
    const int32_t *channels; /* [out_ch][NN_SCALAR_WORDS] */
};

/* in [batches][in_h][in_w][in_ch], out [batches][out_h][out_w][out_ch]; scratch: a pointer for
 * each tap of the filter, then in_ch bytes. A pixel is written while its window is read: in and
 * out may overlap as plan/kernels/scalar.py computes. */
void nn_scalar_depthwise_any_s8(const struct nn_scalar_depthwise_any *op, const int8_t *in,
                                int8_t *out, void *scratch);

#endif
