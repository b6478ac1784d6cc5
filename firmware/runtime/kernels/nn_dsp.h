/* Armv7E-M's packed 16-bit instructions by name, and the same in portable C.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A word holds two halves, the lower one first in memory. The tuned kernels are written in
 * these; on a machine without them they run as plain C and give the same bytes. */
#ifndef NN_DSP_H
#define NN_DSP_H

#include <stdint.h>
#include <string.h>

#if defined(__ARM_FEATURE_DSP)

#include <arm_acle.h>

/* Bytes 0 and 2 of x as int16 halves. */
static inline uint32_t nn_dsp_even(uint32_t x)
{
    return (uint32_t)__sxtb16((int8x4_t)x);
}

/* Bytes 1 and 3. */
static inline uint32_t nn_dsp_odd(uint32_t x)
{
    uint32_t y;

    __asm__("sxtb16 %0, %1, ror #8" : "=r"(y) : "r"(x));
    return y;
}

/* acc + both products of halves. */
static inline int32_t nn_dsp_dot(uint32_t x, uint32_t y, int32_t acc)
{
    return __smlad((int16x2_t)x, (int16x2_t)y, acc);
}

/* The lower halves of a and b, side by side; the upper halves. */
static inline uint32_t nn_dsp_lower(uint32_t a, uint32_t b)
{
    uint32_t y;

    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(y) : "r"(a), "r"(b));
    return y;
}

static inline uint32_t nn_dsp_upper(uint32_t a, uint32_t b)
{
    uint32_t y;

    __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(y) : "r"(b), "r"(a));
    return y;
}

/* c, less one if a is negative, + the high word of a * b, rounded half up. */
static inline int32_t nn_dsp_scale(int32_t a, int32_t b, int32_t c)
{
    int32_t y;

    __asm__("add    %0, %3, %1, asr #31\n\t"
            "smmlar %0, %1, %2, %0"
            : "=&r"(y)
            : "r"(a), "r"(b), "r"(c));
    return y;
}

static inline int8_t nn_dsp_saturate(int32_t a)
{
    int32_t y;

    __asm__("ssat %0, #8, %1" : "=r"(y) : "r"(a));
    return (int8_t)y;
}

#else

static inline int32_t nn_dsp_half(uint32_t x, int32_t which)
{
    return (int16_t)(x >> (16 * which));
}

static inline uint32_t nn_dsp_join(int32_t lower, int32_t upper)
{
    return (uint32_t)(uint16_t)lower | (uint32_t)(uint16_t)upper << 16;
}

static inline uint32_t nn_dsp_even(uint32_t x)
{
    return nn_dsp_join((int8_t)x, (int8_t)(x >> 16));
}

static inline uint32_t nn_dsp_odd(uint32_t x)
{
    return nn_dsp_even(x >> 8);
}

static inline int32_t nn_dsp_dot(uint32_t x, uint32_t y, int32_t acc)
{
    return acc + nn_dsp_half(x, 0) * nn_dsp_half(y, 0) +
           nn_dsp_half(x, 1) * nn_dsp_half(y, 1);
}

static inline uint32_t nn_dsp_lower(uint32_t a, uint32_t b)
{
    return nn_dsp_join(nn_dsp_half(a, 0), nn_dsp_half(b, 0));
}

static inline uint32_t nn_dsp_upper(uint32_t a, uint32_t b)
{
    return nn_dsp_join(nn_dsp_half(a, 1), nn_dsp_half(b, 1));
}

static inline int32_t nn_dsp_scale(int32_t a, int32_t b, int32_t c)
{
    return c + (a >> 31) + (int32_t)(((int64_t)a * b + 0x80000000) >> 32);
}

static inline int8_t nn_dsp_saturate(int32_t a)
{
    return (int8_t)(a < -128 ? -128 : (a > 127 ? 127 : a));
}

#endif

/* Four bytes at any address, the first one lowest: all our cores are little endian. */
static inline uint32_t nn_dsp_load(const int8_t *p)
{
    uint32_t word;

    memcpy(&word, p, sizeof word);
    return word;
}

#endif
