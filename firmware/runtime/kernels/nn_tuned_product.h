/* Weights times columns, two channels by four pixels at a time: what convolutions come to.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_TUNED_PRODUCT_H
#define NN_TUNED_PRODUCT_H

#include "nn_tuned.h"

#define NN_TUNED_PRODUCT_PIXELS 4

struct nn_tuned_product {
    int32_t depth;           /* inputs of an output, a multiple of 4: more have weight 0 */
    int32_t out_ch;
    int8_t is_rectified;     /* the output's zero point is -128: what is negative saturates,
                              * however it is rounded */
    const int32_t *pairs;    /* For channels a and b: where their sums start; depth / 2 words
                              * of weights a[k] b[k] a[k+2] b[k+2], k = 0, 1, 4, 5, 8, 9, ...;
                              * multiplier, rounding and shift of a, then of b. The pair of an
                              * odd last channel holds the one before it again. */
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
