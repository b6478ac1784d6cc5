/* Convolution for cores with packed 16-bit products. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_TUNED_CONV_H
#define NN_TUNED_CONV_H

#include "nn_tuned_product.h"
#include "nn_window.h"

struct nn_tuned_conv {
    struct nn_window window;         /* dilation_w 1 */
    struct nn_tuned_product product; /* depth: filter_h * filter_w * in_ch, rounded up to a
                                      * multiple of 4; first the whole words of each of the
                                      * filter's rows, then what they leave */
    int8_t zero;                     /* the input's zero point, which padding holds */
    int8_t act_min;
    int8_t act_max;
};

/* in [batches][in_h][in_w][in_ch], out [batches][out_h][out_w][out_ch]; columns depth * 8
 * bytes, then room for four runs of filter_w * in_ch, or, where those are no multiple of 4,
 * for four windows of depth. Four output pixels are read, then written: in and out may
 * overlap as plan/kernels/lag.py computes. */
void nn_tuned_conv_s8(const struct nn_tuned_conv *op, const int8_t *in, int8_t *out,
                      void *scratch);

/* The same with wide weights. */
void nn_tuned_conv_wide_s8(const struct nn_tuned_conv *op, const int8_t *in, int8_t *out,
                           void *scratch);

struct nn_tuned_conv_1x1 {
    struct nn_tuned_product product; /* depth: in_ch rounded up to a multiple of 4 */
    int32_t pixels;                  /* of all batches */
    int32_t in_ch;
    int8_t act_min;
    int8_t act_max;
};

/* Stride 1: in [pixels][in_ch], out [pixels][out_ch], columns depth * 8 bytes. Overlap as
 * above. */
void nn_tuned_conv_1x1_s8(const struct nn_tuned_conv_1x1 *op, const int8_t *in, int8_t *out,
                          uint32_t *columns);
void nn_tuned_conv_1x1_wide_s8(const struct nn_tuned_conv_1x1 *op, const int8_t *in, int8_t *out,
                               uint32_t *columns);

#endif
