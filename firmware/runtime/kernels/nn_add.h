/* Sum and difference of two int8 tensors. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_ADD_H
#define NN_ADD_H

#include <stdbool.h>
#include <stdint.h>

#include "nn_requant.h"
#include "nn_walk.h"

/* real = a_scale * (a + a_offset) and so on. Each of the three rescalings has a factor below one,
 * multiplier * 2^(-31 - right). The input of the larger scale has a factor of exactly one half,
 * written as right == 0; every other rescaling has right in [1, 31]. */
struct nn_add {
    int32_t count;          /* elements of the output */
    int32_t a_offset;       /* minus the zero point, in [-127, 128] */
    int32_t a_multiplier;   /* 0, or in [2^30, 2^31) */
    int32_t a_right;
    int32_t b_offset;
    int32_t b_multiplier;
    int32_t b_right;
    int32_t out_offset;     /* the output's zero point */
    int32_t out_multiplier;
    int32_t out_right;      /* in [1, 31] */
    int32_t act_min;
    int32_t act_max;
};

/* An input, shifted left by 20 for precision and brought to half of the larger scale. */
static inline __attribute__((always_inline)) int32_t
nn_add_operand(int32_t value, int32_t multiplier, int32_t right)
{
    return right == 0 ? value * (1 << 19) : nn_requant_right(value * (1 << 20), multiplier, right);
}

/* One row; steps of 0 repeat an operand. Always inlined: where op is a constant, as it is in
 * generated code, its fields become immediates and the loop keeps no parameter in memory. */
static inline __attribute__((always_inline)) void
nn_add_row(const struct nn_add *op, bool subtract, const int8_t *a, int32_t a_step,
           const int8_t *b, int32_t b_step, int8_t *out, int32_t count)
{
    const struct nn_add k = *op;

    for (const int8_t *end = out + count; out < end; out++) {
        const int32_t left = nn_add_operand(*a + k.a_offset, k.a_multiplier, k.a_right);
        const int32_t right = nn_add_operand(*b + k.b_offset, k.b_multiplier, k.b_right);
        /* |left|, |right| <= 255 * 2^19 */
        const int32_t sum = subtract ? left - right : left + right;
        const int32_t result = nn_requant_right(sum, k.out_multiplier, k.out_right);

        *out = (int8_t)nn_requant_clamp(result + k.out_offset, k.act_min, k.act_max);
        a += a_step;
        b += b_step;
    }
}

/* out = a + b; all [count]. out may be a or b. */
static inline __attribute__((always_inline)) void
nn_add_s8(const struct nn_add *op, const int8_t *a, const int8_t *b, int8_t *out)
{
    nn_add_row(op, false, a, 1, b, 1, out, op->count);
}

/* out = a - b; all [count]. out may be a or b. */
static inline __attribute__((always_inline)) void
nn_add_subtract_s8(const struct nn_add *op, const int8_t *a, const int8_t *b, int8_t *out)
{
    nn_add_row(op, true, a, 1, b, 1, out, op->count);
}

/* The same for operands that repeat along some dimensions; walk gives their strides, and the
 * output is dense. out may be an operand of the output's own shape. */
void nn_add_broadcast_s8(const struct nn_add *op, const struct nn_walk *walk, const int8_t *a,
                         const int8_t *b, int8_t *out);
void nn_add_subtract_broadcast_s8(const struct nn_add *op, const struct nn_walk *walk,
                                  const int8_t *a, const int8_t *b, int8_t *out);

#endif
