/* What the kernels for cores without packed products share: a channel's end.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_SCALAR_H
#define NN_SCALAR_H

#include <stdint.h>

/* Whether the core has no instruction for the upper half of a product. */
#if defined(__riscv_mul) || defined(__thumb2__) || defined(__x86_64__)
#define NN_SCALAR_BY_HALVES 0
#else
#define NN_SCALAR_BY_HALVES 1
#endif

/* Words of a channel, in this order: where its sum starts (the input's zero point is folded
 * in), its multiplier, what is added after it (the halves of both roundings, and the
 * output's zero point), its shift to the right. Where a channel's end is short, and by halves:
 * the multiplier's upper part below its lower one; the shift below the most that a sum counts. */
#define NN_SCALAR_WORDS 4
#define NN_SCALAR_LOWER 14 /* bits of the lower part */

/* The high word of a * b, b >= 0. */
static inline int32_t nn_scalar_high(int32_t a, int32_t b)
{
#if !NN_SCALAR_BY_HALVES
    return (int32_t)(((int64_t)a * b) >> 32);
#else
    /* Each sum stays below 2^31. */
    const int32_t a0 = (uint16_t)a;
    const int32_t a1 = a >> 16;
    const int32_t b0 = (uint16_t)b;
    const int32_t b1 = b >> 16;
    const int32_t middle = a1 * b0 + (int32_t)(((uint32_t)a0 * (uint32_t)b0) >> 16);

    return a1 * b1 + (middle >> 16) + (((uint16_t)middle + a0 * b1) >> 16);
#endif
}

/* To int8_t's range. */
static inline int32_t nn_scalar_saturate(int32_t a)
{
#if defined(__thumb2__)
    int32_t y;

    __asm__("ssat %0, #8, %1" : "=r"(y) : "r"(a));
    return y;
#else
    return (uint32_t)(a + 128) > 255 ? (a >> 31) ^ 127 : a;
#endif
}

/* nn_requant_s8 with act_min..act_max all of int8, both roundings behind one shift:
 * floor(4 * a * m / 2^32) has one bit more than the first rounding leaves, and half of what
 * is added here is its half; the second, half away from zero, is one less (here two) where
 * negative. plan/kernels/scalar_ends.py has checked that |acc| < 2^29 and that no sum
 * overflows. */
static inline int32_t nn_scalar_requant_long(int32_t acc, const int32_t *channel, int32_t sign)
{
    const int32_t high = nn_scalar_high(acc * 4, channel[1]) + sign + sign + channel[2];

    return nn_scalar_saturate(high >> channel[3]);
}

/* A channel's end. It `is_short` where nobody sees the correction of sign, since what is
 * negative saturates: the output's zero point is -128. By halves it is where a line through
 * less than 2^32 gives the same bytes (plus 256) for all sums there can be, which
 * plan/kernels/scalar_ends.py has checked, too. */
static inline __attribute__((always_inline)) int32_t
nn_scalar_requant(int32_t acc, const int32_t *channel, int is_short)
{
#if NN_SCALAR_BY_HALVES
    if (is_short) {
        const uint32_t multiplier = (uint32_t)channel[1];
        const uint32_t most = (uint32_t)channel[3] >> 8;
        uint32_t x = (uint32_t)acc;

        if (x > most) {
            x = acc < 0 ? 0 : most;
        }
        x = x * (uint16_t)multiplier + (x * (multiplier >> 16) >> NN_SCALAR_LOWER);
        return (int8_t)((x + (uint32_t)channel[2]) >> (uint8_t)channel[3]);
    }
#endif
    return nn_scalar_requant_long(acc, channel, is_short ? 0 : acc >> 31);
}

/* The narrower range of a fused activation, where it has one. */
static inline void nn_scalar_clamp(int8_t *out, int32_t n, int32_t act_min, int32_t act_max)
{
    if (act_min == -128 && act_max == 127) {
        return;
    }
    for (int32_t i = 0; i < n; i++) {
        const int32_t x = out[i];

        out[i] = (int8_t)(x < act_min ? act_min : (x > act_max ? act_max : x));
    }
}

#endif
