/* Requantisation as TensorFlow Lite Micro does it: two roundings, half away from zero, then up.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_REQUANT_H
#define NN_REQUANT_H

#include <stdint.h>

/* High half of 2 * a * b, rounded half away from zero; saturates at a == b == INT32_MIN.
 * gemmlowp, fixedpoint.h, SaturatingRoundingDoublingHighMul. */
static inline int32_t nn_requant_high_mul(int32_t a, int32_t b)
{
    if (a == INT32_MIN && b == INT32_MIN) {
        return INT32_MAX;
    }
    const int64_t product = (int64_t)a * b;
    const int64_t nudge = product >= 0 ? (1 << 30) : 1 - (1 << 30);

    return (int32_t)((product + nudge) / ((int64_t)1 << 31));
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

/* multiplier in {0} or [2^30, 2^31); shift in [-31, 30], positive to the left. The left shift
 * wraps, as TFLM's does: graph/fixedpoint.py does the same. */
static inline int32_t nn_requant(int32_t a, int32_t multiplier, int32_t shift)
{
    const int32_t left = shift > 0 ? shift : 0;
    const int32_t right = shift > 0 ? 0 : -shift;
    const int32_t scaled = (int32_t)((uint32_t)a << left);

    return nn_requant_divide_by_pot(nn_requant_high_mul(scaled, multiplier), right);
}

static inline int32_t nn_requant_clamp(int32_t a, int32_t low, int32_t high)
{
    return a < low ? low : (a > high ? high : a);
}

#endif
