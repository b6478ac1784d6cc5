/* Between number formats, portable C. SPDX-License-Identifier: Apache-2.0 */
#include "nn_quantize.h"

#include "nn_requant.h"

static int32_t requantize(const struct nn_quantize *op, int32_t in)
{
    /* The zero point is added modulo 2^32, as TFLM does where a wild scale overflows. */
    const int32_t scaled = nn_requant(in + op->in_offset, op->multiplier, op->shift);

    return (int32_t)((uint32_t)scaled + (uint32_t)op->out_offset);
}

void nn_quantize_s8_s16(const struct nn_quantize *op, const int8_t *in, int16_t *out)
{
    for (int32_t i = 0; i < op->count; i++) {
        out[i] = (int16_t)nn_requant_clamp(requantize(op, in[i]), INT16_MIN, INT16_MAX);
    }
}

void nn_quantize_s8_s32(const struct nn_quantize *op, const int8_t *in, int32_t *out)
{
    for (int32_t i = 0; i < op->count; i++) {
        out[i] = requantize(op, in[i]);
    }
}

void nn_quantize_s16_s8(const struct nn_quantize *op, const int16_t *in, int8_t *out)
{
    for (int32_t i = 0; i < op->count; i++) {
        out[i] = (int8_t)nn_requant_clamp(requantize(op, in[i]), INT8_MIN, INT8_MAX);
    }
}

/* Half away from zero, without libm. x in [-512, 512], so the fraction is exact. */
static int32_t round_half_away(float x)
{
    const int32_t whole = (int32_t)x;
    const float fraction = x - (float)whole;

    return whole + (fraction >= 0.5f) - (fraction <= -0.5f);
}

void nn_quantize_f32_s8(float scale, int32_t zero_point, const float *in, int8_t *out,
                        int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        const float x = in[i] / scale;
        /* Beyond 512 any zero point saturates; a NaN passes both comparisons. */
        const float bounded = x > 512.0f ? 512.0f : (x < -512.0f ? -512.0f : x);
        const int32_t rounded = bounded == bounded ? round_half_away(bounded) : 0;

        out[i] = (int8_t)nn_requant_clamp(rounded + zero_point, INT8_MIN, INT8_MAX);
    }
}

void nn_quantize_s8_f32(float scale, int32_t zero_point, const int8_t *in, float *out,
                        int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        out[i] = scale * (float)(in[i] - zero_point);
    }
}
