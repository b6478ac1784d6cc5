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

/* The same without that one less. */
static inline int32_t nn_dsp_scale_rectified(int32_t a, int32_t b, int32_t c)
{
    int32_t y;

    __asm__("smmlar %0, %1, %2, %3" : "=r"(y) : "r"(a), "r"(b), "r"(c));
    return y;
}

/* The halves of acc, and bytes 0 and 2 of x; 1 and 3. */
static inline uint32_t nn_dsp_add_even(uint32_t acc, uint32_t x)
{
    return (uint32_t)__sxtab16((int16x2_t)acc, (int8x4_t)x);
}

static inline uint32_t nn_dsp_add_odd(uint32_t acc, uint32_t x)
{
    uint32_t y;

    __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(y) : "r"(acc), "r"(x));
    return y;
}

/* The greater of each two bytes. */
static inline uint32_t nn_dsp_max(uint32_t x, uint32_t y)
{
    uint32_t less, more;

    __asm__("ssub8  %0, %2, %3\n\t"
            "sel    %1, %2, %3"
            : "=&r"(less), "=r"(more)
            : "r"(x), "r"(y)
            : "cc");
    return more;
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

static inline int32_t nn_dsp_scale_rectified(int32_t a, int32_t b, int32_t c)
{
    return c + (int32_t)(((int64_t)a * b + 0x80000000) >> 32);
}

static inline uint32_t nn_dsp_add_even(uint32_t acc, uint32_t x)
{
    return nn_dsp_join(nn_dsp_half(acc, 0) + (int8_t)x, nn_dsp_half(acc, 1) + (int8_t)(x >> 16));
}

static inline uint32_t nn_dsp_add_odd(uint32_t acc, uint32_t x)
{
    return nn_dsp_add_even(acc, x >> 8);
}

static inline uint32_t nn_dsp_max(uint32_t x, uint32_t y)
{
    uint32_t more = 0;

    for (int32_t bit = 0; bit < 32; bit += 8) {
        const uint32_t which = (int8_t)(x >> bit) > (int8_t)(y >> bit) ? x : y;

        more |= which & ((uint32_t)0xff << bit);
    }
    return more;
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

/* 1 to 3 of them, then zeros. */
static inline uint32_t nn_dsp_load_some(const int8_t *p, int32_t n)
{
    uint32_t word = (uint8_t)p[0];

    if (n > 1) {
        word |= (uint32_t)(uint8_t)p[1] << 8;
    }
    if (n > 2) {
        word |= (uint32_t)(uint8_t)p[2] << 16;
    }
    return word;
}

#endif
