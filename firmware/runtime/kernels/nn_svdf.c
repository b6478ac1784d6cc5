/* Singular value decomposition filter, portable C. SPDX-License-Identifier: Apache-2.0 */
#include "nn_svdf.h"

#include <string.h>

#include "nn_requant.h"

/* What filter `filter` makes of the input, in the state's scale, not yet clamped. */
static int32_t feature(const struct nn_svdf *op, int32_t filter, const int8_t *in)
{
    const int8_t *weights = op->feature + filter * op->in_depth;
    int32_t acc = op->feature_bias[filter];

    for (int32_t i = 0; i < op->in_depth; i++) {
        acc += in[i] * weights[i];
    }
    return nn_requant(acc, op->feature_multiplier, op->feature_shift);
}

static int8_t output(const struct nn_svdf *op, uint32_t acc)
{
    const int32_t scaled = nn_requant((int32_t)acc, op->out_multiplier, op->out_shift);

    return (int8_t)nn_requant_clamp(scaled + op->out_offset, INT8_MIN, INT8_MAX);
}

void nn_svdf_s8(const struct nn_svdf *op, const int8_t *in, int8_t *out, int8_t *state)
{
    for (int32_t batch = 0; batch < op->batches; batch++) {
        const int8_t *time = op->time;
        int32_t filter = 0;

        for (int32_t unit = 0; unit < op->units; unit++) {
            uint32_t acc = (uint32_t)op->bias[unit];

            for (int32_t r = 0; r < op->rank; r++, filter++) {
                const int32_t newest =
                    nn_requant_clamp(feature(op, filter, in), INT8_MIN, INT8_MAX);

                memmove(state, state + 1, (size_t)(op->memory - 1));
                /* The sum may leave int8 and wraps, as TFLM's does. */
                state[op->memory - 1] = (int8_t)(newest + op->state_zero_point);
                for (int32_t i = 0; i < op->memory; i++) {
                    acc += (uint32_t)(*time++ * (*state++ - op->state_zero_point));
                }
            }
            *out++ = output(op, acc);
        }
        in += op->in_depth;
    }
}

void nn_svdf_s8_s16(const struct nn_svdf *op, const int8_t *in, int8_t *out,
                    int16_t *state)
{
    for (int32_t batch = 0; batch < op->batches; batch++) {
        const int16_t *time = op->time;
        int32_t filter = 0;

        for (int32_t unit = 0; unit < op->units; unit++) {
            uint32_t acc = (uint32_t)op->bias[unit];

            for (int32_t r = 0; r < op->rank; r++, filter++) {
                const int32_t newest =
                    nn_requant_clamp(feature(op, filter, in), INT16_MIN, INT16_MAX);

                memmove(state, state + 1, (size_t)(op->memory - 1) * sizeof *state);
                /* The zero point is 0: the host checks. */
                state[op->memory - 1] = (int16_t)newest;
                for (int32_t i = 0; i < op->memory; i++) {
                    acc += (uint32_t)(*time++ * *state++);
                }
            }
            *out++ = output(op, acc);
        }
        in += op->in_depth;
    }
}
