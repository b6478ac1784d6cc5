/* Weights times columns, two channels by four pixels at a time: what convolutions come to.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_TUNED_PRODUCT_H
#define NN_TUNED_PRODUCT_H

#include "nn_tuned.h"

#define NN_TUNED_PRODUCT_PIXELS 4

struct nn_tuned_product {
    int32_t depth;           /* inputs of an output, a multiple of 4: more have weight 0 */
    int32_t out_ch;
    const int8_t *weights;   /* [pairs of channels][depth / 2][4]: a[k] b[k] a[k+2] b[k+2],
                              * k = 0, 1, 4, 5, 8, 9, ...; b is 0 beside an odd last a */
    const int32_t *channels; /* [out_ch, rounded up to even][NN_TUNED_WORDS] */
};

/* Appends n bytes of each of four pixels to the columns: per four bytes, two words of each
 * pixel, inputs 0 and 2 of all four, then 1 and 3; a last group is filled up with zeros.
 * Returns the columns' new end. */
uint32_t *nn_tuned_product_widen(const int8_t *const from[NN_TUNED_PRODUCT_PIXELS],
                                 int32_t n, uint32_t *columns);

/* Outputs of the first `count` of four pixels, 1 <= count, whose columns are depth * 2
 * words; out [count][out_ch]. */
void nn_tuned_product_s8(const struct nn_tuned_product *op, const uint32_t *columns,
                         int32_t count, int8_t *out);

#endif
