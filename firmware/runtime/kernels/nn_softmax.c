/* Softmax, portable C. SPDX-License-Identifier: Apache-2.0 */
#include "nn_softmax.h"

#include "nn_requant.h"

#define SUM_BITS 12             /* integer bits of a sum of exponentials, Q12.19 */
#define Q2_ONE (1 << 29)
#define Q2_48_OVER_17 1515870810
#define Q2_MINUS_32_OVER_17 (-1010580540)

/* One row's common factor: an output is exp * scale / 2^(31 + shift - bits). */
struct reciprocal {
    int32_t scale;              /* Q0.31, in [2^30, 2^31) */
    int32_t shift;
};

/* How a row's outputs end: (exp * scale + rounding) / 2^(32 + shift). */
struct share {
    int64_t rounding;
    int32_t scale;
    int32_t shift;
};

static int32_t leading_zeros(uint32_t a)
{
    int32_t zeros = 0;

    for (; a < 0x80000000u; a <<= 1) {
        zeros++;
    }
    return zeros;
}

static int32_t saturating_shift(int32_t a, int32_t left)
{
    const int32_t limit = INT32_MAX >> left;

    if (a > limit) {
        return INT32_MAX;
    }
    if (a < -limit) {
        return INT32_MIN;
    }
    return (int32_t)((uint32_t)a << left);
}

/* 1 / sum, by the Newton steps of gemmlowp's one_over_one_plus_x_for_x_in_0_1. */
static struct reciprocal invert(int32_t sum)
{
    const int32_t zeros = leading_zeros((uint32_t)sum);
    const int32_t fraction = (int32_t)(((uint32_t)sum << zeros) - 0x80000000u);
    const int32_t half_denominator = (int32_t)(((uint32_t)fraction + 0x80000000u) >> 1);
    int32_t x =
        Q2_48_OVER_17 + nn_requant_high_mul(half_denominator, Q2_MINUS_32_OVER_17);

    for (int step = 0; step < 3; step++) {
        const int32_t error = Q2_ONE - nn_requant_high_mul(half_denominator, x);

        x += saturating_shift(nn_requant_high_mul(x, error), 2);
    }
    return (struct reciprocal){ saturating_shift(x, 1), SUM_BITS - zeros };
}

static int32_t maximum(const int8_t *row, int32_t depth)
{
    int32_t max = INT8_MIN;

    _Pragma("GCC unroll 4")
    for (int32_t i = 0; i < depth; i++) {
        max = row[i] > max ? row[i] : max;
    }
    return max;
}

static inline uint32_t exponential(const struct nn_softmax *op, int32_t diff)
{
    return (uint32_t)op->exps[diff < op->terms ? diff : op->terms];
}

static struct reciprocal measure(const struct nn_softmax *op, const int8_t *row,
                                 int32_t max)
{
    const struct nn_softmax k = *op;
    uint32_t sum = 0;

    _Pragma("GCC unroll 4")
    for (int32_t i = 0; i < k.depth; i++) {
        sum += (exponential(&k, max - row[i]) + (1 << SUM_BITS >> 1)) >> SUM_BITS;
    }
    return invert((int32_t)sum);
}

/* For outputs of `bits` bits, from 0 up. Two roundings, of the product and of the division, come
 * to one sum, for neither sees a negative number. */
static struct share share_of(struct reciprocal r, int32_t bits)
{
    const int32_t exponent = r.shift + 31 - bits;

    /* Over 512 equals leave less than half a step each; TFLM stops there. */
    if (exponent > 31) {
        return (struct share){ 0, 0, 0 };
    }
    return (struct share){ (INT64_C(1) << (exponent + 30)) + (1 << 30), r.scale, exponent - 1 };
}

/* The output for one input. */
static inline int32_t share(const struct nn_softmax *op, const struct share *s, int32_t diff,
                            int32_t bits)
{
    const int64_t product = (int64_t)s->scale * (int32_t)exponential(op, diff);
    const int32_t out = (int32_t)((product + s->rounding) >> 32) >> s->shift;

    return out < 1 << bits ? out : (1 << bits) - 1;
}

void nn_softmax_s8(const struct nn_softmax *op, const int8_t *in, int8_t *out)
{
    const struct nn_softmax k = *op;

    for (int32_t row = 0; row < k.rows; row++) {
        const int32_t max = maximum(in, k.depth);
        const struct share s = share_of(measure(op, in, max), 8);

        for (int32_t i = 0; i < k.depth; i++) {
            out[i] = (int8_t)(share(&k, &s, max - in[i], 8) + INT8_MIN);
        }
        in += k.depth;
        out += k.depth;
    }
}

void nn_softmax_s8_s16(const struct nn_softmax *op, const int8_t *in, int16_t *out)
{
    const struct nn_softmax k = *op;

    for (int32_t row = 0; row < k.rows; row++) {
        const int32_t max = maximum(in, k.depth);
        const struct share s = share_of(measure(op, in, max), 16);

        for (int32_t i = 0; i < k.depth; i++) {
            out[i] = (int16_t)(share(&k, &s, max - in[i], 16) + INT16_MIN);
        }
        in += k.depth;
        out += k.depth;
    }
}
