/* Singular value decomposition filter over nn_sums. SPDX-License-Identifier: Apache-2.0
 *
 * A filter's memory moves on by one step and meets its weights in the same pass. */
#include "nn_sums_svdf.h"

#include "nn_dsp.h"
#include "nn_requant.h"

/* Sums over time wrap at 32 bits, as TFLM's. */
static inline uint32_t add_product(uint32_t acc, int32_t a, int32_t b)
{
    return acc + (uint32_t)(a * b);
}

#if defined(__ARM_FEATURE_DSP)

static inline uint32_t add_4(uint32_t acc, uint32_t state, uint32_t time)
{
    const int32_t even = nn_dsp_dot(nn_dsp_even(state), nn_dsp_even(time), (int32_t)acc);

    return (uint32_t)nn_dsp_dot(nn_dsp_odd(state), nn_dsp_odd(time), even);
}

#endif

static inline uint32_t step_s8(uint32_t acc, int8_t *state, const int8_t *time, int32_t newest,
                               int32_t memory)
{
    int8_t *const last = state + memory - 1;

#if defined(__ARM_FEATURE_DSP)
    for (; last - state >= 4; state += 4, time += 4) {
        const uint32_t four = nn_dsp_load(state + 1);

        memcpy(state, &four, sizeof four);
        acc = add_4(acc, four, nn_dsp_load(time));
    }
#endif
    _Pragma("GCC unroll 4")
    for (; state < last; state++) {
        *state = state[1];
        acc = add_product(acc, *state, *time++);
    }
    *last = (int8_t)newest;
    return add_product(acc, *last, *time);
}

static inline uint32_t step_s16(uint32_t acc, int16_t *state, const int16_t *time,
                                int32_t newest, int32_t memory)
{
    int16_t *const last = state + memory - 1;

#if defined(__ARM_FEATURE_DSP)
    _Pragma("GCC unroll 4")
    for (; last - state >= 2; state += 2, time += 2) {
        const uint32_t two = nn_dsp_load((const int8_t *)(state + 1));

        memcpy(state, &two, sizeof two);
        acc = (uint32_t)nn_dsp_dot(two, nn_dsp_load((const int8_t *)time), (int32_t)acc);
    }
#endif
    _Pragma("GCC unroll 4")
    for (; state < last; state++) {
        *state = state[1];
        acc = add_product(acc, *state, *time++);
    }
    *last = (int16_t)newest;
    return add_product(acc, *last, *time);
}

static int8_t output(const struct nn_sums_svdf *op, uint32_t acc)
{
    return nn_requant_s8((int32_t)acc, op->out_multiplier, op->out_shift, op->out_offset,
                         INT8_MIN, INT8_MAX);
}

void nn_sums_svdf_s8(const struct nn_sums_svdf *op, const int8_t *in, int8_t *out,
                     int8_t *state, int32_t *scratch)
{
    for (int32_t batch = 0; batch < op->batches; batch++, in += op->feature.depth) {
        const int32_t *sum = scratch;
        const int8_t *time = op->time;

        op->sums(&op->feature, in, scratch, (int8_t *)(scratch + op->feature.channels));
        for (int32_t unit = 0; unit < op->units; unit++) {
            uint32_t acc = (uint32_t)op->bias[unit];

            for (int32_t r = 0; r < op->rank; r++) {
                const int32_t newest =
                    nn_requant_clamp(nn_scale(*sum++, &op->to_state), INT8_MIN, INT8_MAX);

                /* The sum may leave int8 and wraps, as TFLM's does. */
                acc = step_s8(acc, state, time, newest + op->state_zero_point, op->memory);
                state += op->memory;
                time += op->memory;
            }
            *out++ = output(op, acc);
        }
    }
}

void nn_sums_svdf_s8_s16(const struct nn_sums_svdf *op, const int8_t *in, int8_t *out,
                         int16_t *state, int32_t *scratch)
{
    for (int32_t batch = 0; batch < op->batches; batch++, in += op->feature.depth) {
        const int32_t *sum = scratch;
        const int16_t *time = op->time;

        op->sums(&op->feature, in, scratch, (int8_t *)(scratch + op->feature.channels));
        for (int32_t unit = 0; unit < op->units; unit++) {
            uint32_t acc = (uint32_t)op->bias[unit];

            for (int32_t r = 0; r < op->rank; r++) {
                const int32_t newest =
                    nn_requant_clamp(nn_scale(*sum++, &op->to_state), INT16_MIN, INT16_MAX);

                acc = step_s16(acc, state, time, newest, op->memory);
                state += op->memory;
                time += op->memory;
            }
            *out++ = output(op, acc);
        }
    }
}
