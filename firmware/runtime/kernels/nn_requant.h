/* Requantisation as TensorFlow Lite Micro does it: two roundings, half up, then half
 * away from zero.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_REQUANT_H
#define NN_REQUANT_H

#include <stdint.h>

/* High half of 2 * a * b, rounded half up; saturates at a == b == INT32_MIN.
 * gemmlowp, fixedpoint.h, SaturatingRoundingDoublingHighMul: its nudge by sign and
 * division towards zero come to this one shift. */
static inline int32_t nn_requant_high_mul(int32_t a, int32_t b)
{
    if (a == INT32_MIN && b == INT32_MIN) {
        return INT32_MAX;
    }
    return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31);
}

/* a / 2^exponent, rounded half away from zero. exponent in [0, 31].
 * gemmlowp, fixedpoint.h, RoundingDivideByPOT. */
static inline int32_t nn_requant_divide_by_pot(int32_t a, int32_t exponent)
{
    const int32_t mask = (int32_t)(((int64_t)1 << exponent) - 1);
    const int32_t remainder = a & mask;
    const int32_t threshold = (mask >> 1) + (a < 0 ? 1 : 0);

    return (a >> exponent) + (remainder > threshold ? 1 : 0);
}

/* nn_requant_high_mul for multiplier >= 0: the result is in [-2^31 + 1, 2^31 - 2]. */
static inline int32_t nn_requant_scale(int32_t a, int32_t multiplier)
{
    return (int32_t)(((int64_t)a * multiplier + (1 << 30)) >> 31);
}

/* multiplier >= 0; shift in [-31, 30], positive to the left. The left shift wraps, as
 * TFLM's does: graph/fixedpoint.py does the same. */
static inline int32_t nn_requant(int32_t a, int32_t multiplier, int32_t shift)
{
    if (shift >= 0) {
        return nn_requant_scale((int32_t)((uint32_t)a << shift), multiplier);
    }
    /* nn_requant_divide_by_pot in five instructions: less one if negative, then half up.
     * The range of `high` leaves room for both ones. */
    const int32_t high = nn_requant_scale(a, multiplier);

    return (((high + (high >> 31)) >> (-shift - 1)) + 1) >> 1;
}

/* nn_requant for shift == -right, right in [1, 31], and |a| < 2^30. Both roundings come to one
 * 64-bit sum: an add, a multiply-accumulate and a shift on Armv7-M. */
static inline __attribute__((always_inline)) int32_t
nn_requant_right(int32_t a, int32_t multiplier, int32_t right)
{
    const int32_t twice = a * 2; /* so that the high word is the quotient */
    /* Half away from zero: one less where a is negative. */
    const uint32_t half = (uint32_t)(1 << (right - 1)) + (uint32_t)(twice >> 31);
    const int64_t rounding = (int64_t)((uint64_t)half << 32 | 0x80000000u);

    return (int32_t)(((int64_t)twice * multiplier + rounding) >> 32) >> right;
}

static inline int32_t nn_requant_clamp(int32_t a, int32_t low, int32_t high)
{
    return a < low ? low : (a > high ? high : a);
}

/* The end of most kernels: requantise, add the zero point (wrapping, as TFLM's does),
 * clamp to act_min..act_max within int8_t. */
static inline int8_t nn_requant_s8(int32_t acc, int32_t multiplier, int32_t shift,
                                   int32_t offset, int32_t act_min, int32_t act_max)
{
    const int32_t scaled = nn_requant(acc, multiplier, shift);
    const int32_t moved = (int32_t)((uint32_t)scaled + (uint32_t)offset);

    return (int8_t)nn_requant_clamp(moved, act_min, act_max);
}

#endif
