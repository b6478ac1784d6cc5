/* Weights times pixels, four channels by two pixels at a time, on MVE.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_MVE_PRODUCT_H
#define NN_MVE_PRODUCT_H

#include "nn_mve.h"

#define NN_MVE_PRODUCT_CHANNELS 4
#define NN_MVE_PRODUCT_PIXELS 2

/* The ends: 16-bit offsets in the output of the sums, by channel, then pixel; the same where the
 * second pixel is the first again; the output's zero point; int8 act_min and act_max. */
#define NN_MVE_PRODUCT_SINGLE 8
#define NN_MVE_PRODUCT_ZERO 16

struct nn_mve_product {
    const int8_t *stream; /* of each four channels: where the eight sums start, the input's zero
                           * point folded in (int32); weights [rows][steps][4][16]; multipliers
                           * and negative right shifts (int32) */
    const int16_t *ends;
    int32_t out_ch;
    int8_t act_min;
    int8_t act_max;
};

/* A layer's instance of nn_mve_product_s8. */
typedef void nn_mve_product_fn(const struct nn_mve_product *op, const int8_t *in, int32_t in_step,
                               int32_t gap, int8_t *out, int32_t pixels);

#if NN_MVE_ASSEMBLY

static inline __attribute__((always_inline)) void
nn_mve_product_pairs(const struct nn_mve_product *op, const int8_t *x0, const int8_t *x1,
                     int32_t gap, int8_t *out, const int16_t *at, int32_t in_step, int32_t pairs,
                     int32_t rows, int32_t steps, int32_t tail, int32_t flags)
{
    const int32_t channels = op->out_ch;
    const int32_t quads = (channels + NN_MVE_PRODUCT_CHANNELS - 1) / NN_MVE_PRODUCT_CHANNELS;
    /* All the registers there are. From one pair to the next: r6; from the end of one in the
     * output to the next one's start: r8. */
    register const int16_t *r0 __asm__("r0") = at;
    register const int8_t *r1 __asm__("r1") = op->stream;
    register const int16_t *r2 __asm__("r2") = op->ends + NN_MVE_PRODUCT_ZERO;
    register const int8_t *r3 __asm__("r3") = x0;
    register const int8_t *r5 __asm__("r5") = x1;
    register int32_t r6 __asm__("r6") = NN_MVE_PRODUCT_PIXELS * in_step;
    register int8_t *r7 __asm__("r7") = out;
    register int32_t r8 __asm__("r8") = NN_MVE_PRODUCT_PIXELS * channels - 4 * quads;
    register int32_t r9 __asm__("r9") = NN_MVE_PRODUCT_PIXELS * channels;
    register int32_t r10 __asm__("r10") = pairs;
    register int32_t r11 __asm__("r11") = gap;

    /* Up to eight vectors lie in reach of one address. */
    __asm__ volatile(
        ".set .Lfar, (%c[rows] > 1) || (%c[steps] > 8)\n\t"
        "vldrh.u16 q7, [%[at]]\n\t"
        "vldrh.u16 q6, [%[zero]]\n\t"
        ".if %c[flags] & 2\n\t"
        "vldrb.u8  q4, [%[zero], #16]\n\t"
        "vldrb.u8  q5, [%[zero], #32]\n\t"
        ".endif\n\t"
        ".if %c[tail] && !(%c[flags] & 4)\n\t"
        "movs      r4, %[tail]\n\t"
        "vctp.8    r4\n\t"
        ".endif\n\t"
        "stmdb     sp!, {r1, r3, r5, r6, r8, r9, r10, r12}\n"
        "1:\n\t"
        ".if %c[tail] && (%c[flags] & 4)\n\t"
        "movs      r4, %[tail]\n\t"
        "vctp.8    r4\n\t"
        ".endif\n\t"
        "ldmia     r1!, {r0, r2, r4, r6, r8, r10, r12, lr}\n\t"
        ".set .Lrow, 0\n\t"
        ".rept %c[rows]\n\t"
        ".set .Lstep, 0\n\t"
        ".rept %c[steps]\n\t"
        ".set .Llast, %c[tail] && (.Lstep == %c[steps] - 1)\n\t"
        ".if .Lfar\n\t"
        ".if .Llast\n\t"
        "vpstt\n\t"
        "vldrbt.8  q0, [r3], #16\n\t"
        "vldrbt.8  q1, [r5], #16\n\t"
        ".else\n\t"
        "vldrb.8   q0, [r3], #16\n\t"
        "vldrb.8   q1, [r5], #16\n\t"
        ".endif\n\t"
        ".else\n\t"
        ".if .Llast\n\t"
        "vpstt\n\t"
        "vldrbt.8  q0, [r3, #(16 * .Lstep)]\n\t"
        "vldrbt.8  q1, [r5, #(16 * .Lstep)]\n\t"
        ".else\n\t"
        "vldrb.8   q0, [r3, #(16 * .Lstep)]\n\t"
        "vldrb.8   q1, [r5, #(16 * .Lstep)]\n\t"
        ".endif\n\t"
        ".endif\n\t"
        "vldrb.8   q2, [r1], #16\n\t"
        "vmladava.s8 r0, q2, q0\n\t"
        "vldrb.8   q3, [r1], #16\n\t"
        "vmladava.s8 r2, q2, q1\n\t"
        "vmladava.s8 r4, q3, q0\n\t"
        "vldrb.8   q2, [r1], #16\n\t"
        "vmladava.s8 r6, q3, q1\n\t"
        "vmladava.s8 r8, q2, q0\n\t"
        "vldrb.8   q3, [r1], #16\n\t"
        "vmladava.s8 r10, q2, q1\n\t"
        "vmladava.s8 r12, q3, q0\n\t"
        "vmladava.s8 lr, q3, q1\n\t"
        ".set .Lstep, .Lstep + 1\n\t"
        ".endr\n\t"
        ".set .Lrow, .Lrow + 1\n\t"
        ".if .Lrow < %c[rows]\n\t"
        "add       r3, r11\n\t"
        "add       r5, r11\n\t"
        ".endif\n\t"
        ".endr\n\t"
        "vmov      q0[2], q0[0], r0, r8\n\t"
        "vmov      q1[2], q1[0], r2, r10\n\t"
        "vldrw.u32 q2, [r1], #16\n\t"
        "vmov      q0[3], q0[1], r4, r12\n\t"
        "vmov      q1[3], q1[1], r6, lr\n\t"
        "vqrdmulh.s32 q0, q0, q2\n\t"
        "vqrdmulh.s32 q1, q1, q2\n\t"
        NN_MVE_SIGN
        "vldrw.u32 q2, [r1], #16\n\t"
        "vrshl.s32 q0, q0, q2\n\t"
        "vrshl.s32 q1, q1, q2\n\t"
        "vqmovnb.s32 q0, q0\n\t"
        "vqmovnt.s32 q0, q1\n\t"
        "vqadd.s16 q0, q0, q6\n\t"
        "vqmovnb.s16 q0, q0\n\t"
        ".if %c[flags] & 2\n\t"
        "vmax.s8   q0, q0, q4\n\t"
        "vmin.s8   q0, q0, q5\n\t"
        ".endif\n\t"
        ".if .Lfar\n\t"
        "ldrd      r3, r5, [sp, #4]\n\t"
        ".endif\n\t"
        ".if %c[flags] & 4\n\t"
        "vctp.16   r9\n\t"
        "vpst\n\t"
        "vstrbt.16 q0, [r7, q7]\n\t"
        ".else\n\t"
        "vstrb.16  q0, [r7, q7]\n\t"
        ".endif\n\t"
        "adds      r7, #4\n\t"
        "subs      r9, #8\n\t"
        "bgt       1b\n\t"
        "ldr       r1, [sp]\n\t"
        "ldrd      r6, r8, [sp, #12]\n\t"
        "ldrd      r9, r10, [sp, #20]\n\t"
        "add       r3, r6\n\t"
        "add       r5, r6\n\t"
        "add       r7, r8\n\t"
        ".if .Lfar\n\t"
        "strd      r3, r5, [sp, #4]\n\t"
        ".endif\n\t"
        "subs      r10, #1\n\t"
        "str       r10, [sp, #24]\n\t"
        "bgt       1b\n\t"
        "add       sp, #32\n\t"
        NN_MVE_LENGTH
        : [at] "+r"(r0), "+r"(r1), [zero] "+r"(r2), "+r"(r3), "+r"(r5), "+r"(r6), "+r"(r7),
          "+r"(r8), "+r"(r9), "+r"(r10)
        : "r"(r11), [rows] "i"(rows), [steps] "i"(steps), [tail] "i"(tail), [flags] "i"(flags)
        : "r4", "r12", "lr", "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7",
          "cc", "memory");
}

#else

/* One pair; the flags only leave out what changes nothing. */
static inline void nn_mve_product_pair(const struct nn_mve_product *op, const int8_t *x0,
                                       const int8_t *x1, int32_t gap, int8_t *out,
                                       const int16_t *at, int32_t rows, int32_t steps,
                                       int32_t tail)
{
    const int8_t *stream = op->stream;

    for (int32_t left = NN_MVE_PRODUCT_PIXELS * op->out_ch; left > 0; left -= NN_MVE_SUMS) {
        const int32_t pitch = NN_MVE_LANES * steps + gap;
        const int8_t *const starts = stream;
        const int8_t *const weights = starts + 4 * NN_MVE_SUMS;
        const int8_t *const words = weights + rows * steps * 4 * NN_MVE_LANES;

        for (int32_t i = 0; i < NN_MVE_SUMS && i < left; i++) {
            const int8_t *const x = i % 2 ? x1 : x0;
            int32_t sum = nn_mve_word(starts, i);

            for (int32_t step = 0; step < rows * steps; step++) {
                const int8_t *const from =
                    x + step / steps * pitch + step % steps * NN_MVE_LANES;
                const int8_t *const w = weights + (4 * step + i / 2) * NN_MVE_LANES;
                const int is_last = tail && step % steps == steps - 1;

                for (int32_t lane = 0; lane < (is_last ? tail : NN_MVE_LANES); lane++) {
                    sum = (int32_t)((uint32_t)sum + (uint32_t)(from[lane] * w[lane]));
                }
            }
            out[at[i]] = nn_mve_requant(sum, nn_mve_word(words, i / 2),
                                        nn_mve_word(words, 4 + i / 2),
                                        op->ends[NN_MVE_PRODUCT_ZERO], op->act_min, op->act_max);
        }
        stream = words + 32;
        out += NN_MVE_PRODUCT_CHANNELS;
    }
}

static inline void nn_mve_product_pairs(const struct nn_mve_product *op, const int8_t *x0,
                                        const int8_t *x1, int32_t gap, int8_t *out,
                                        const int16_t *at, int32_t in_step, int32_t pairs,
                                        int32_t rows, int32_t steps, int32_t tail, int32_t flags)
{
    (void)flags;
    for (int32_t i = 0; i < pairs; i++) {
        const int32_t pixel = NN_MVE_PRODUCT_PIXELS * i;

        nn_mve_product_pair(op, x0 + pixel * in_step, x1 + pixel * in_step, gap,
                            out + pixel * op->out_ch, at, rows, steps, tail);
    }
}

#endif

/* out [pixels][out_ch]. A pixel sees `rows` rows of `steps` vectors, of the last of which `tail`
 * bytes count if it is not 0; from one row's last vector to the next row's first there are `gap`
 * bytes, and in_step from one pixel's first to the next one's. Two pixels are written at a time,
 * while they are read: see plan/kernels/mve.py, pair_lag. */
static inline __attribute__((always_inline)) void
nn_mve_product_s8(const struct nn_mve_product *op, const int8_t *in, int32_t in_step, int32_t gap,
                  int8_t *out, int32_t pixels, int32_t rows, int32_t steps, int32_t tail,
                  int32_t flags)
{
    int32_t done = 0;

    while (done < pixels) {
        const int is_single = done + 1 == pixels;
        const int32_t pairs = is_single ? 1 : (pixels - done) / NN_MVE_PRODUCT_PIXELS;
        const int8_t *const x = in + done * in_step;

        nn_mve_product_pairs(op, x, is_single ? x : x + in_step, gap, out + done * op->out_ch,
                             is_single ? op->ends + NN_MVE_PRODUCT_SINGLE : op->ends, in_step,
                             pairs, rows, steps, tail, flags);
        done += NN_MVE_PRODUCT_PIXELS * pairs;
    }
}

#endif
