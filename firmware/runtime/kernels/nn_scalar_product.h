/* Weights times columns, two channels by pairs of pixels: what convolutions come to on cores
 * without packed products. SPDX-License-Identifier: Apache-2.0
 *
 * Two pixels share a word, x0 + x1 * 2^16, so one multiplication by a weight makes two
 * products, and one addition adds both to two sums that share a word. They go apart before
 * the lower one can leave its 16 bits: the host knows the weights, and so after how many
 * terms that is. It cuts the terms into groups whose weights have magnitudes of 256 at most
 * together. */
#ifndef NN_SCALAR_PRODUCT_H
#define NN_SCALAR_PRODUCT_H

#include "nn_scalar.h"

/* Pairs of pixels at a time: what the registers hold. plan/kernels/scalar.py, PAIRS. */
#if defined(__riscv) || defined(__thumb2__) || defined(__x86_64__)
#define NN_SCALAR_PAIRS 3
#else
#define NN_SCALAR_PAIRS 1
#endif
#define NN_SCALAR_PIXELS (2 * NN_SCALAR_PAIRS)

struct nn_scalar_product {
    int32_t depth;           /* inputs of an output, even: a last odd one has weight 0 */
    int32_t out_ch;
    int32_t is_rectified;    /* the output's zero point is -128 */
    const uint8_t *weights;  /* of each pair of channels its groups: bytes of weights behind
                              * this one, a multiple of 4; then a[k] b[k] for each input. b is
                              * 0 beside an odd last a */
    const int32_t *channels; /* [out_ch, rounded up to even][NN_SCALAR_WORDS] */
};

/* Pairs of pixels that `count` pixels take, at most NN_SCALAR_PAIRS. */
static inline int32_t nn_scalar_product_pairs(int32_t count)
{
    return count >= NN_SCALAR_PIXELS ? NN_SCALAR_PAIRS : (count + 1) / 2;
}

/* Appends n bytes of each of 2 * pairs pixels to the columns: [n][pairs] words. Returns the
 * columns' new end. */
uint32_t *nn_scalar_product_pack(const int8_t *const from[NN_SCALAR_PIXELS], int32_t pairs,
                                 int32_t n, uint32_t *columns);

/* Outputs of the first `count` of NN_SCALAR_PIXELS pixels, 1 <= count, whose columns are
 * [depth][nn_scalar_product_pairs(count)] words; out [count][out_ch]. */
void nn_scalar_product_s8(const struct nn_scalar_product *op, const uint32_t *columns,
                          int32_t count, int8_t *out);

#endif
