/* Convolution for cores without packed products. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_SCALAR_CONV_H
#define NN_SCALAR_CONV_H

#include "nn_scalar_product.h"
#include "nn_window.h"

struct nn_scalar_conv {
    struct nn_window window;          /* dilation_w 1 */
    struct nn_scalar_product product; /* depth: filter_h * filter_w * in_ch, rounded up */
    int8_t zero;                      /* the input's zero point, which padding holds */
    int8_t act_min;
    int8_t act_max;
};

/* in [batches][in_h][in_w][in_ch], out [batches][out_h][out_w][out_ch]; scratch: columns,
 * depth * 2 * NN_SCALAR_TRIPLES words, then room for either what nn_scalar_product_s8 wants
 * behind them or NN_SCALAR_PIXELS runs of filter_w * in_ch bytes. So many output pixels are read, then written: in and out may overlap as
 * plan/kernels/lag.py computes. */
void nn_scalar_conv_s8(const struct nn_scalar_conv *op, const int8_t *in, int8_t *out,
                       void *scratch);

struct nn_scalar_conv_1x1 {
    struct nn_scalar_product product; /* depth: in_ch, rounded up */
    int32_t pixels;                   /* of all batches */
    int32_t in_ch;
    int8_t act_min;
    int8_t act_max;
};

/* Stride 1: in [pixels][in_ch], out [pixels][out_ch], columns as
 * nn_scalar_product_s8 wants them. Overlap as above. */
void nn_scalar_conv_1x1_s8(const struct nn_scalar_conv_1x1 *op, const int8_t *in,
                           int8_t *out, uint32_t *columns);

#endif
