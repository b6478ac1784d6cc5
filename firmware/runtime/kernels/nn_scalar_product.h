/* Weights times columns, for cores without packed products: three pixels in two words.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_SCALAR_PRODUCT_H
#define NN_SCALAR_PRODUCT_H

#include "nn_scalar.h"

/* Triples of pixels and channels at a time: what the registers hold. plan/kernels/scalar.py,
 * Shape. */
#if defined(__riscv) || defined(__x86_64__)
#define NN_SCALAR_TRIPLES  2
#define NN_SCALAR_CHANNELS 4
#elif defined(__thumb2__) || defined(__xtensa__)
#define NN_SCALAR_TRIPLES  2
#define NN_SCALAR_CHANNELS 2
#else
#define NN_SCALAR_TRIPLES  1
#define NN_SCALAR_CHANNELS 2
#endif
#define NN_SCALAR_PIXELS (3 * NN_SCALAR_TRIPLES)

struct nn_scalar_product {
    int32_t depth;           /* inputs of an output, rounded up to a multiple of 4 */
    int32_t chunk;           /* as many of them at most as a word can add up; also a multiple */
    int32_t out_ch;
    int32_t is_short;        /* nn_scalar_requant */
    const uint8_t *weights;  /* [blocks of channels][depth][NN_SCALAR_CHANNELS], each plus 128;
                              * any behind the last channel and the last input */
    const int32_t *channels; /* [out_ch][NN_SCALAR_WORDS] */
};

/* Triples of pixels that `count` pixels take, at most NN_SCALAR_TRIPLES. */
static inline int32_t nn_scalar_product_triples(int32_t count)
{
    return count >= NN_SCALAR_PIXELS ? NN_SCALAR_TRIPLES : (count + 2) / 3;
}

/* Appends n bytes of each of 3 * triples pixels to the columns: [n][triples][2] words. Returns
 * the columns' new end. */
uint32_t *nn_scalar_product_pack(const int8_t *const from[NN_SCALAR_PIXELS], int32_t triples,
                                 int32_t n, uint32_t *columns);

/* Outputs of the first `count` of NN_SCALAR_PIXELS pixels, 1 <= count, whose columns are
 * [depth][nn_scalar_product_triples(count)][2] words, with room for as many as one input has
 * behind them for each chunk; out [count][out_ch]. */
void nn_scalar_product_s8(const struct nn_scalar_product *op, uint32_t *columns,
                          int32_t count, int8_t *out);

#endif
