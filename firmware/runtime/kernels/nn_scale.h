/* Requantisation by a factor that one layer has for all its sums, prepared on the host.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_SCALE_H
#define NN_SCALE_H

#include "nn_scalar.h"

struct nn_scale {
    int32_t multiplier; /* >= 0 */
    int32_t rounding;   /* the halves of both roundings, and the output's zero point */
    int8_t left;        /* 2, and the factor's shift to the left */
    int8_t right;       /* 1, and the factor's shift to the right */
    int8_t sign;        /* -2 where that is one: half away from zero; else 0 */
};

/* nn_requant and a zero point, not saturated: nn_scalar_requant says how both roundings come
 * behind one shift. plan/kernels/sums.py has checked that |acc| << left < 2^31 and that no sum
 * overflows. */
static inline __attribute__((always_inline)) int32_t nn_scale(int32_t acc,
                                                              const struct nn_scale *by)
{
    const int32_t high = nn_scalar_high((int32_t)((uint32_t)acc << by->left), by->multiplier);

    return (high + ((acc >> 31) & by->sign) + by->rounding) >> by->right;
}

/* To int16_t's range. */
static inline int32_t nn_scale_saturate(int32_t a)
{
#if defined(__thumb2__)
    int32_t y;

    __asm__("ssat %0, #16, %1" : "=r"(y) : "r"(a));
    return y;
#else
    return (uint32_t)(a + 32768) > 65535 ? (a >> 31) ^ 32767 : a;
#endif
}

/* To act_min..act_max within int8_t. */
static inline __attribute__((always_inline)) int8_t nn_scale_clamp(int32_t a, int32_t act_min,
                                                                   int32_t act_max)
{
    const int32_t x = nn_scalar_saturate(a);

    if (act_min == INT8_MIN && act_max == INT8_MAX) {
        return (int8_t)x;
    }
    return (int8_t)(x < act_min ? act_min : x > act_max ? act_max : x);
}

#endif
