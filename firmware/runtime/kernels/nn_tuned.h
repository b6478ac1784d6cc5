/* What the tuned kernels share: channels prepared on the host, and their end.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_TUNED_H
#define NN_TUNED_H

#include "nn_dsp.h"

/* Words of a channel, in this order: where its sum starts (the input's zero point is
 * folded in), its multiplier, what the second rounding adds (half, and the output's zero
 * point), its right shift. */
#define NN_TUNED_WORDS 4

/* nn_requant_s8 of half of `twice`, with act_min..act_max all of int8.
 * plan/kernels/tuned.py has checked for every channel that |twice| < 2^31, multiplier >= 0,
 * shift >= 1, and that no sum here overflows. The second rounding is half away from zero:
 * one less where negative. Where only the product's rounding made it 0, one less is
 * nothing. */
static inline int8_t nn_tuned_requant(int32_t twice, int32_t multiplier, int32_t rounding,
                                      int32_t shift)
{
    return nn_dsp_saturate(nn_dsp_scale(twice, multiplier, rounding) >> shift);
}

/* Behind a zero point of -128 what is negative saturates: the host may have found a line that
 * gives the same bytes for sums that come scaled (plan/kernels/linear.py). */
static inline int8_t nn_tuned_linear(int32_t sum, int32_t multiplier, int32_t rounding,
                                     int32_t shift)
{
    return nn_dsp_saturate(nn_dsp_scale_rectified(sum, multiplier, rounding) >> shift);
}

/* The narrower range of a fused activation, where it has one. */
static inline void nn_tuned_clamp(int8_t *out, int32_t n, int32_t act_min, int32_t act_max)
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
