/* Weights times columns, two channels by four pixels at a time: what convolutions come to.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_TUNED_PRODUCT_H
#define NN_TUNED_PRODUCT_H

#include "nn_tuned.h"

#define NN_TUNED_PRODUCT_PIXELS 4

struct nn_tuned_product {
    int32_t depth;           /* inputs of an output, a multiple of 4: more have weight 0 */
    int32_t out_ch;
    int8_t is_linear;        /* outputs are nn_tuned_linear's, with a shift of 8 for wide
                              * weights; for others 4 for channels a, 12 for channels b */
    int8_t is_wide;          /* weights as halves of their own, scaled: sums come doubled, or
                              * as linear outputs take them */
    const int32_t *pairs;    /* For channels a and b: where the sums of a and of a + 256 b
                              * start; weights, of every k = 0, 1, 4, 5, 8, 9, ... the halves
                              * a[k] + 256 b[k] and a[k+2] + 256 b[k+2]; multiplier, rounding
                              * and shift of a, then of b. Wide: where a and b start; halves
                              * a[k], a[k+2], b[k], b[k+2]. The pair of an odd last channel
                              * holds the one before it again. */
};

/* Columns of n bytes of each of four pixels: per four bytes, two words of each pixel, inputs 0
 * and 2 of all four, then 1 and 3; a last group is filled up with zeros. */
void nn_tuned_product_widen(const int8_t *const from[NN_TUNED_PRODUCT_PIXELS], int32_t n,
                            uint32_t *columns);

/* The same of `rows` runs of each, `down` bytes apart; run > 0, a multiple of 4. Returns the
 * columns' end. */
uint32_t *nn_tuned_product_widen_rows(const int8_t *const from[NN_TUNED_PRODUCT_PIXELS],
                                      int32_t run, int32_t down, int32_t rows,
                                      uint32_t *columns);

/* What stays from one four pixels to the next; the assembly knows the order. */
struct nn_tuned_product_run {
    const uint32_t *columns;
    int32_t entry;            /* bytes of the unrolled steps to leave out the first time */
    const uint32_t *columns_end;
    const int32_t *pairs_end;
    int8_t *out;
    int32_t away[NN_TUNED_PRODUCT_PIXELS - 1]; /* bytes from the first pixel's outputs to the
                                                * others' */
    int32_t is_linear;
};

/* Once for a layer. */
void nn_tuned_product_start(const struct nn_tuned_product *op, const uint32_t *columns,
                            struct nn_tuned_product_run *run);

/* Outputs of the first `count` of four pixels, 1 <= count, whose columns are depth * 2 words;
 * out [count][out_ch]. Fewer than four are the last of a layer. */
void nn_tuned_product_s8(const struct nn_tuned_product *op, struct nn_tuned_product_run *now,
                         int32_t count, int8_t *out);
void nn_tuned_product_wide_s8(const struct nn_tuned_product *op,
                              struct nn_tuned_product_run *now, int32_t count, int8_t *out);

#endif
