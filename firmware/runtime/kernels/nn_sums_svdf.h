/* Singular value decomposition filter: nn_sums for its features.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A filter's memory moves on by one step and meets its weights in the same pass. Always inlined:
 * where op is a constant, its fields become immediates. */
#ifndef NN_SUMS_SVDF_H
#define NN_SUMS_SVDF_H

#include "nn_dsp.h"
#include "nn_requant.h"
#include "nn_scale.h"
#include "nn_sums.h"

struct nn_sums_svdf {
    int32_t batches;
    int32_t memory;             /* steps a filter looks back, at least 1 */
    int32_t rank;               /* filters that add up to one output */
    int32_t units;              /* outputs; there are units * rank filters */
    int32_t state_zero_point;   /* in [-128, 127]; 0 for int16 */
    int32_t out_offset;         /* the output's zero point */
    int32_t out_multiplier;     /* state * weights -> output, as nn_requant takes them */
    int32_t out_shift;
    nn_sums_fn *sums;
    struct nn_sums feature;
    struct nn_scale to_state;
    const void *time;           /* [units * rank][memory], elements as the state's */
    const int32_t *bias;        /* [units], the state's zero point folded in */
};

/* Sums over time wrap at 32 bits, as TFLM's. */
static inline uint32_t nn_sums_svdf_add_product(uint32_t acc, int32_t a, int32_t b)
{
    return acc + (uint32_t)(a * b);
}

#if defined(__ARM_FEATURE_DSP)

static inline uint32_t nn_sums_svdf_add_4(uint32_t acc, uint32_t state, uint32_t time)
{
    const int32_t even = nn_dsp_dot(nn_dsp_even(state), nn_dsp_even(time), (int32_t)acc);

    return (uint32_t)nn_dsp_dot(nn_dsp_odd(state), nn_dsp_odd(time), even);
}

#endif

/* Moves a filter's memory on, and adds its products with the weights of each step. */
static inline __attribute__((always_inline)) uint32_t
nn_sums_svdf_step_s8(uint32_t acc, int8_t *state, const int8_t *time, int32_t newest,
                     int32_t memory)
{
    const int32_t last = memory - 1;
    int32_t i = 0;

#if defined(__ARM_FEATURE_DSP)
    _Pragma("GCC unroll 8")
    for (; i < (last & -4); i += 4) {
        const uint32_t four = nn_dsp_load(state + i + 1);

        memcpy(state + i, &four, sizeof four);
        acc = nn_sums_svdf_add_4(acc, four, nn_dsp_load(time + i));
    }
#endif
    _Pragma("GCC unroll 8")
    for (; i < last; i++) {
        state[i] = state[i + 1];
        acc = nn_sums_svdf_add_product(acc, state[i], time[i]);
    }
    state[last] = (int8_t)newest;
    return nn_sums_svdf_add_product(acc, state[last], time[last]);
}

static inline __attribute__((always_inline)) uint32_t
nn_sums_svdf_step_s16(uint32_t acc, int16_t *state, const int16_t *time, int32_t newest,
                      int32_t memory)
{
    const int32_t last = memory - 1;
    int32_t i = 0;

#if defined(__ARM_FEATURE_DSP)
    _Pragma("GCC unroll 8")
    for (; i < (last & -2); i += 2) {
        const uint32_t two = nn_dsp_load((const int8_t *)(state + i + 1));

        memcpy(state + i, &two, sizeof two);
        acc = (uint32_t)nn_dsp_dot(two, nn_dsp_load((const int8_t *)(time + i)), (int32_t)acc);
    }
#endif
    _Pragma("GCC unroll 8")
    for (; i < last; i++) {
        state[i] = state[i + 1];
        acc = nn_sums_svdf_add_product(acc, state[i], time[i]);
    }
    state[last] = (int16_t)newest;
    return nn_sums_svdf_add_product(acc, state[last], time[last]);
}

static inline int8_t nn_sums_svdf_output(const struct nn_sums_svdf *op, uint32_t acc)
{
    return nn_requant_s8((int32_t)acc, op->out_multiplier, op->out_shift, op->out_offset,
                         INT8_MIN, INT8_MAX);
}

/* As nn_svdf_s8; scratch: the sums of `feature`, then what it takes. */
static inline __attribute__((always_inline)) void
nn_sums_svdf_s8(const struct nn_sums_svdf *op, const int8_t *in, int8_t *out,
                int8_t *state, int32_t *scratch)
{
    for (int32_t batch = 0; batch < op->batches; batch++, in += op->feature.depth) {
        const int32_t *sum = scratch;
        const int8_t *time = op->time;

        op->sums(&op->feature, in, scratch, (int8_t *)(scratch + op->feature.channels));
        for (int32_t unit = 0; unit < op->units; unit++) {
            uint32_t acc = (uint32_t)op->bias[unit];

            for (int32_t r = 0; r < op->rank; r++) {
                const int32_t newest = nn_scalar_saturate(nn_scale(*sum++, &op->to_state));

                /* Their sum may leave int8 and wraps, as TFLM's does. */
                acc = nn_sums_svdf_step_s8(acc, state, time, newest + op->state_zero_point,
                                           op->memory);
                state += op->memory;
                time += op->memory;
            }
            *out++ = nn_sums_svdf_output(op, acc);
        }
    }
}

/* As nn_svdf_s8_s16. */
static inline __attribute__((always_inline)) void
nn_sums_svdf_s8_s16(const struct nn_sums_svdf *op, const int8_t *in, int8_t *out,
                    int16_t *state, int32_t *scratch)
{
    for (int32_t batch = 0; batch < op->batches; batch++, in += op->feature.depth) {
        const int32_t *sum = scratch;
        const int16_t *time = op->time;

        op->sums(&op->feature, in, scratch, (int8_t *)(scratch + op->feature.channels));
        for (int32_t unit = 0; unit < op->units; unit++) {
            uint32_t acc = (uint32_t)op->bias[unit];

            for (int32_t r = 0; r < op->rank; r++) {
                const int32_t newest = nn_scale_saturate(nn_scale(*sum++, &op->to_state));

                acc = nn_sums_svdf_step_s16(acc, state, time, newest, op->memory);
                state += op->memory;
                time += op->memory;
            }
            *out++ = nn_sums_svdf_output(op, acc);
        }
    }
}

#endif
