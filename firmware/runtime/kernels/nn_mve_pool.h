/* Average and maximum pooling on MVE: channels in the lanes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_MVE_POOL_H
#define NN_MVE_POOL_H

#include "nn_mve.h"
#include "nn_window.h"

#define NN_MVE_POOL_MEANS 8 /* channels at a time */
#define NN_MVE_POOL_MOST 255 /* taps whose sum fits 16 bits */

struct nn_mve_pool {
    struct nn_window window;    /* in_ch == out_ch, dilations 1, no window all padding */
    int32_t act_min;
    int32_t act_max;
};

/* The part of the input under one output pixel. */
struct nn_mve_patch {
    const int8_t *in;
    int32_t rows;
    int32_t columns;
    int32_t in_column;          /* bytes from column to column */
    int32_t in_skip;            /* and from behind the last one to the next row's first */
};

#if NN_MVE_ASSEMBLY

/* Rows and columns of a patch; `tap` is done with x at each. */
#define NN_MVE_POOL_WALK(tap)        \
    "1:\n\t"                         \
    "dls       lr, %[columns]\n"     \
    "2:\n\t" tap                     \
    "add       %[x], %[column]\n\t"  \
    "le        lr, 2b\n\t"           \
    "add       %[x], %[skip]\n\t"    \
    "subs      %[rows], #1\n\t"      \
    "bne       1b\n\t"

/* Channels c < left, eight at most. Half away from zero, then towards it, by a quotient that is
 * exact: floor(n * factor / 2^24) for n <= 128 * count + count / 2, factor = floor(2^24 / count)
 * + 1 and count^2 * 128.5 < 2^24. */
static inline void nn_mve_pool_mean(const struct nn_mve_pool *op, const struct nn_mve_patch *p,
                                    int32_t channel, int32_t left, int8_t *out)
{
    const int32_t count = p->rows * p->columns;
    const int8_t *x = p->in + channel;
    int32_t rows = p->rows;
    int16_t sums[NN_MVE_POOL_MEANS];

    __asm__ volatile("vctp.16   %[left]\n\t"
                     "vmov.i16  q0, #0\n\t"
                     NN_MVE_POOL_WALK("vpst\n\t"
                                      "vldrbt.s16 q1, [%[x]]\n\t"
                                      "vadd.i16  q0, q0, q1\n\t")
                     "vstrh.16  q0, [%[sums]]"
                     : [x] "+l"(x), [rows] "+r"(rows)
                     : [left] "r"(left), [columns] "r"(p->columns), [column] "r"(p->in_column),
                       [skip] "r"(p->in_skip), [sums] "r"(sums)
                     : "lr", "q0", "q1", "cc", "memory");
    __asm__ volatile("vldrh.s32 q0, [%[sums]]\n\t"
                     "vldrh.s32 q1, [%[sums], #8]\n\t"
                     "vabs.s32  q2, q0\n\t"
                     "vabs.s32  q3, q1\n\t"
                     "vadd.i32  q2, q2, %[half]\n\t"
                     "vadd.i32  q3, q3, %[half]\n\t"
                     "vshl.i32  q2, q2, #8\n\t"
                     "vshl.i32  q3, q3, #8\n\t"
                     "vdup.32   q4, %[factor]\n\t"
                     "vmulh.s32 q2, q2, q4\n\t"
                     "vmulh.s32 q3, q3, q4\n\t"
                     "vpt.s32   lt, q0, zr\n\t"
                     "vnegt.s32 q2, q2\n\t"
                     "vpt.s32   lt, q1, zr\n\t"
                     "vnegt.s32 q3, q3\n\t"
                     "vdup.32   q0, %[low]\n\t"
                     "vdup.32   q1, %[high]\n\t"
                     "vmax.s32  q2, q2, q0\n\t"
                     "vmax.s32  q3, q3, q0\n\t"
                     "vmin.s32  q2, q2, q1\n\t"
                     "vmin.s32  q3, q3, q1\n\t"
                     "vctp.32   %[left]\n\t"
                     "vpst\n\t"
                     "vstrbt.32 q2, [%[out]]\n\t"
                     "subs      %[left], #4\n\t"
                     "ble       1f\n\t"
                     "vctp.32   %[left]\n\t"
                     "vpst\n\t"
                     "vstrbt.32 q3, [%[out], #4]\n"
                     "1:"
                     : [left] "+r"(left)
                     : [sums] "l"(sums), [half] "r"(count / 2),
                       [factor] "r"((1 << 24) / count + 1), [low] "r"(op->act_min),
                       [high] "r"(op->act_max), [out] "l"(out + channel)
                     : "q0", "q1", "q2", "q3", "q4", "cc", "memory");
}

/* Channels c < left, sixteen at most. */
static inline void nn_mve_pool_greatest(const struct nn_mve_pool *op,
                                        const struct nn_mve_patch *p, int32_t channel,
                                        int32_t left, int8_t *out)
{
    const int8_t *x = p->in + channel;
    int32_t rows = p->rows;

    __asm__ volatile("vctp.8    %[left]\n\t"
                     "vdup.8    q0, %[low]\n\t"
                     "vdup.8    q2, %[high]\n\t"
                     NN_MVE_POOL_WALK("vpst\n\t"
                                      "vldrbt.u8 q1, [%[x]]\n\t"
                                      "vmax.s8   q0, q0, q1\n\t")
                     "vpst\n\t"
                     "vmint.s8  q0, q0, q2\n\t"
                     "vpst\n\t"
                     "vstrbt.8  q0, [%[out]]"
                     : [x] "+l"(x), [rows] "+r"(rows)
                     : [left] "r"(left), [columns] "r"(p->columns), [column] "r"(p->in_column),
                       [skip] "r"(p->in_skip), [low] "r"(op->act_min), [high] "r"(op->act_max),
                       [out] "l"(out + channel)
                     : "lr", "q0", "q1", "q2", "cc", "memory");
}

#else

static inline void nn_mve_pool_mean(const struct nn_mve_pool *op, const struct nn_mve_patch *p,
                                    int32_t channel, int32_t left, int8_t *out)
{
    const int32_t count = p->rows * p->columns;

    for (int32_t c = channel; c < channel + left && c < channel + NN_MVE_POOL_MEANS; c++) {
        const int8_t *x = p->in + c;
        int32_t sum = 0;

        for (int32_t row = 0; row < p->rows; row++, x += p->in_skip) {
            for (int32_t column = 0; column < p->columns; column++, x += p->in_column) {
                sum += *x;
            }
        }
        sum = (sum < 0 ? sum - count / 2 : sum + count / 2) / count;
        out[c] = (int8_t)nn_requant_clamp(sum, op->act_min, op->act_max);
    }
}

static inline void nn_mve_pool_greatest(const struct nn_mve_pool *op,
                                        const struct nn_mve_patch *p, int32_t channel,
                                        int32_t left, int8_t *out)
{
    for (int32_t c = channel; c < channel + left && c < channel + NN_MVE_LANES; c++) {
        const int8_t *x = p->in + c;
        int32_t best = op->act_min;

        for (int32_t row = 0; row < p->rows; row++, x += p->in_skip) {
            for (int32_t column = 0; column < p->columns; column++, x += p->in_column) {
                best = *x > best ? *x : best;
            }
        }
        out[c] = (int8_t)(best < op->act_max ? best : op->act_max);
    }
}

#endif

/* in [batches][in_h][in_w][in_ch], out [batches][out_h][out_w][in_ch]; overlap as nn_pool.h says.
 * Padding takes no part. A mean is of NN_MVE_POOL_MOST taps at most. */
void nn_mve_pool_average_s8(const struct nn_mve_pool *op, const int8_t *in, int8_t *out);
void nn_mve_pool_max_s8(const struct nn_mve_pool *op, const int8_t *in, int8_t *out);

#endif
