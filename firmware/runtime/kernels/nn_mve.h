/* What the kernels for vector cores (Cortex-M55: MVE, Helium) share.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Their inner blocks have eight sums, in the eight registers that VMLADAVA can add to; each is
 * one instruction sequence, with the same in portable C beside it. What a layer is made of
 * (steps, flags) is constant where a block is used, so that nothing is decided in it. */
#ifndef NN_MVE_H
#define NN_MVE_H

#include <stdint.h>
#include <string.h>

#include "nn_requant.h"

#define NN_MVE_LANES 16 /* bytes of a vector */
#define NN_MVE_SUMS 8

/* By GCC, and where it optimises: without, what is constant in a layer is none in its code. */
#if defined(__ARM_FEATURE_MVE) && defined(__OPTIMIZE__) && !defined(__clang__)
#define NN_MVE_ASSEMBLY 1
#else
#define NN_MVE_ASSEMBLY 0
#endif

/* How a block ends. */
enum nn_mve_flags {
    NN_MVE_SIGNED = 1,  /* not all negative sums come to act_min: round them away from zero */
    NN_MVE_CLAMPED = 2, /* act_min..act_max is not all of int8 */
    NN_MVE_PARTIAL = 4, /* the channels are no multiple of a block's */
    NN_MVE_REPEATED = 8, /* the second operand has one element a row */
};

#if NN_MVE_ASSEMBLY

/* Lines: by these the compiler measures how far it branches over a block that .rept makes
 * longer than it looks. */
#define NN_MVE_FOUR(x) x x x x
#define NN_MVE_LENGTH NN_MVE_FOUR(NN_MVE_FOUR(NN_MVE_FOUR(NN_MVE_FOUR(NN_MVE_FOUR("\n")))))

/* Less one where q0 and q1 are negative, so that VRSHL, which rounds half up, rounds half away
 * from zero; q2 and q3 destroyed. */
#define NN_MVE_SIGN              \
    ".if %c[flags] & 1\n\t"      \
    "vshr.s32  q2, q0, #31\n\t"  \
    "vadd.i32  q0, q0, q2\n\t"   \
    "vshr.s32  q3, q1, #31\n\t"  \
    "vadd.i32  q1, q1, q3\n\t"   \
    ".endif\n\t"

/* to[0..n) = from[0..n), n >= 0; nothing beyond is read. */
static inline void nn_mve_copy(int8_t *to, const int8_t *from, int32_t n)
{
    __asm__ volatile("wlstp.8  lr, %[n], 2f\n"
                     "1:\n\t"
                     "vldrb.8  q0, [%[from]], #16\n\t"
                     "vstrb.8  q0, [%[to]], #16\n\t"
                     "letp     lr, 1b\n"
                     "2:"
                     : [to] "+r"(to), [from] "+r"(from)
                     : [n] "r"(n)
                     : "lr", "q0", "memory");
}

/* `rows` > 0 runs of n > 0 bytes, `step` bytes apart, to places `apart` bytes apart. */
static inline void nn_mve_copy_rows(int8_t *to, int32_t apart, const int8_t *from, int32_t step,
                                    int32_t n, int32_t rows)
{
    const int32_t over = (n + NN_MVE_LANES - 1) / NN_MVE_LANES * NN_MVE_LANES;

    __asm__ volatile("1:\n\t"
                     "dlstp.8  lr, %[n]\n"
                     "2:\n\t"
                     "vldrb.8  q0, [%[from]], #16\n\t"
                     "vstrb.8  q0, [%[to]], #16\n\t"
                     "letp     lr, 2b\n\t"
                     "add      %[from], %[step]\n\t"
                     "add      %[to], %[apart]\n\t"
                     "subs     %[rows], #1\n\t"
                     "bne      1b"
                     : [to] "+r"(to), [from] "+r"(from), [rows] "+r"(rows)
                     : [n] "r"(n), [step] "r"(step - over), [apart] "r"(apart - over)
                     : "lr", "q0", "cc", "memory");
}

static inline void nn_mve_fill(int8_t *to, int8_t value, int32_t n)
{
    __asm__ volatile("vdup.8   q0, %[value]\n\t"
                     "wlstp.8  lr, %[n], 2f\n"
                     "1:\n\t"
                     "vstrb.8  q0, [%[to]], #16\n\t"
                     "letp     lr, 1b\n"
                     "2:"
                     : [to] "+r"(to)
                     : [value] "r"(value), [n] "r"(n)
                     : "lr", "q0", "memory");
}

#else

/* How a block ends one sum; shift is negative, to the right. */
static inline int8_t nn_mve_requant(int32_t sum, int32_t multiplier, int32_t shift,
                                    int32_t zero, int32_t act_min, int32_t act_max)
{
    return nn_requant_s8(sum, multiplier, shift, zero, act_min, act_max);
}

static inline int32_t nn_mve_word(const int8_t *p, int32_t i)
{
    int32_t word;

    memcpy(&word, p + 4 * i, sizeof word);
    return word;
}

static inline void nn_mve_copy(int8_t *to, const int8_t *from, int32_t n)
{
    memcpy(to, from, (size_t)n);
}

static inline void nn_mve_copy_rows(int8_t *to, int32_t apart, const int8_t *from, int32_t step,
                                    int32_t n, int32_t rows)
{
    for (int32_t row = 0; row < rows; row++) {
        memcpy(to + row * apart, from + row * step, (size_t)n);
    }
}

static inline void nn_mve_fill(int8_t *to, int8_t value, int32_t n)
{
    memset(to, value, (size_t)n);
}

#endif

#endif
