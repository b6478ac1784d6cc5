/* Between number formats. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_QUANTIZE_H
#define NN_QUANTIZE_H

#include <stdint.h>

struct nn_quantize {
    int32_t count;
    int32_t in_offset;  /* minus the input's zero point */
    int32_t out_offset; /* the output's zero point */
    int32_t multiplier; /* as nn_requant takes them */
    int32_t shift;
};

/* Requantise, saturating. in and out must not overlap: their elements differ in size. */
void nn_quantize_s8_s16(const struct nn_quantize *op, const int8_t *in, int16_t *out);
void nn_quantize_s8_s32(const struct nn_quantize *op, const int8_t *in, int32_t *out);
void nn_quantize_s16_s8(const struct nn_quantize *op, const int16_t *in, int8_t *out);

/* in / scale, rounded half away from zero, plus zero_point, saturating; NaN gives zero_point.
 * The division is IEEE single precision: compile without -ffast-math. */
void nn_quantize_f32_s8(float scale, int32_t zero_point, const float *in, int8_t *out,
                        int32_t count);

/* scale * (in - zero_point) */
void nn_quantize_s8_f32(float scale, int32_t zero_point, const int8_t *in, float *out,
                        int32_t count);

#endif
