/* Sum of two int8 tensors for cores with packed 16-bit products.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_TUNED_ADD_H
#define NN_TUNED_ADD_H

#include "nn_tuned.h"

/* One of the operands has the larger scale, and is brought to its half by a shift; of the other,
 * every value is in a table. Sums are doubled, as nn_tuned_requant takes them. */
struct nn_tuned_add {
    int32_t count;
    int32_t multiplier;
    int32_t rounding;        /* half, and the output's zero point */
    int32_t shift;
    int8_t act_min;
    int8_t act_max;
    int8_t is_rectified;     /* the output's zero point is -128: what is negative saturates,
                              * however it is rounded */
    const int32_t *table;    /* [256]: of each byte of the other, rescaled, with both zero
                              * points; |table| <= 2^30 - 2^27 */
};

/* All [count]; out may be an operand. Always inlined: where op is a constant, its fields become
 * immediates. */
static inline __attribute__((always_inline)) void
nn_tuned_add_s8(const struct nn_tuned_add *op, const int8_t *shifted, const int8_t *other,
                int8_t *out)
{
    const struct nn_tuned_add k = *op;

#pragma GCC unroll 4
    for (int32_t i = 0; i < k.count; i++) {
        const int32_t twice = k.table[(uint8_t)other[i]] + shifted[i] * (1 << 20);
        const int32_t scaled = k.is_rectified
                                   ? nn_dsp_scale_rectified(twice, k.multiplier, k.rounding)
                                   : nn_dsp_scale(twice, k.multiplier, k.rounding);
        const int32_t x = scaled >> k.shift;

        out[i] = (int8_t)(x < k.act_min ? k.act_min : (x > k.act_max ? k.act_max : x));
    }
}

#endif
