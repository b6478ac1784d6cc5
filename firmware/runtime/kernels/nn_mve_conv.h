/* Convolution on MVE. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_MVE_CONV_H
#define NN_MVE_CONV_H

#include "nn_mve_product.h"
#include "nn_window.h"

struct nn_mve_conv {
    struct nn_window window;
    struct nn_mve_product product;
    int32_t column;         /* bytes of a gathered pixel */
    int32_t row;            /* bytes from one filter row to the next in it */
    int8_t zero;            /* the input's zero point, which padding holds */
    int8_t is_direct;       /* pixels that see no padding are read where they lie: dilation_w 1 */
};

/* in [batches][in_h][in_w][in_ch], out [batches][out_h][out_w][out_ch], scratch two columns.
 * in and out may overlap as plan/kernels/mve.py computes. */
void nn_mve_conv_s8(const struct nn_mve_conv *op, nn_mve_product_fn *product, const int8_t *in,
                    int8_t *out, int8_t *scratch);

#endif
