/* Depthwise convolution on MVE: the taps of one output in the lanes of a vector.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_MVE_DEPTHWISE_H
#define NN_MVE_DEPTHWISE_H

#include "nn_mve.h"
#include "nn_window.h"

#define NN_MVE_DEPTHWISE_CHANNELS 4
#define NN_MVE_DEPTHWISE_PIXELS 2
#define NN_MVE_DEPTHWISE_ROWS 4 /* of the filter, in one word of the scratch */
#define NN_MVE_DEPTHWISE_SLACK 64 /* bytes behind the words that may be written and read */

/* Scratch: planes of four filter rows each, [planes][columns][in_ch] words of four bytes, one
 * from each row, and the slack; then a row of the input's zero point if there is padding above or
 * below. An output sees up to 16 words: four vectors.
 *
 * Outputs are made in pairs: two of a row; or, if the layer is tall (stride_h and dilation_h 1, no
 * more than three filter rows), one above the other, which see the same words. */
struct nn_mve_depthwise {
    struct nn_window window;
    int32_t columns;        /* of the scratch: the input's, padded */
    int32_t apart;          /* words from an output's to the next one's; 0 if a row has one */
    int8_t is_tall;
    const int32_t *taps;    /* [steps][4]: offsets of the words that an output sees, in bytes */
    const int8_t *stream;   /* of each four channels: where the eight sums start (int32);
                             * weights [4][steps][16]; multipliers and negative right shifts
                             * (int32); int16 offsets of the sums in the output; if clamped
                             * act_min and act_max, 16 times each */
    int8_t zero;            /* the input's zero point */
    int8_t out_zero;
    int8_t act_min;
    int8_t act_max;
};

/* A layer's instance of nn_mve_depthwise_pairs: pairs > 0, side by side. */
typedef void nn_mve_depthwise_fn(const struct nn_mve_depthwise *op, const int8_t *words,
                                 int8_t *out, int32_t pairs);

#if NN_MVE_ASSEMBLY

static inline __attribute__((always_inline)) void
nn_mve_depthwise_pairs(const struct nn_mve_depthwise *op, const int8_t *words, int8_t *out,
                       int32_t pairs, int32_t steps, int32_t is_tall, int32_t flags)
{
    const int32_t channels = op->window.out_ch;
    const int32_t columns = is_tall ? 1 : NN_MVE_DEPTHWISE_PIXELS; /* of a pair */
    const int32_t quads = (channels + NN_MVE_DEPTHWISE_CHANNELS - 1) / NN_MVE_DEPTHWISE_CHANNELS;
    /* All the registers there are. From one pair's end to the next one's start: r0, r2. */
    register int32_t r0 __asm__("r0") = 4 * columns * op->apart - 16 * quads;
    register const int8_t *r1 __asm__("r1") = op->stream;
    register int32_t r2 __asm__("r2") = columns * channels - 4 * quads;
    register const int8_t *r3 __asm__("r3") = words;
    register int32_t r4 __asm__("r4") = pairs;
    register const int8_t *r5 __asm__("r5") = words + 4 * op->apart;
    register const int32_t *r6 __asm__("r6") = op->taps;
    register int8_t *r7 __asm__("r7") = out;
    register int32_t r9 __asm__("r9") = NN_MVE_DEPTHWISE_PIXELS * channels;
    register int32_t r11 __asm__("r11") = op->out_zero;

    /* q4 to q7: of one step, the taps of each of the four channels; else those of each step. */
    __asm__ volatile(
        "stmdb     sp!, {r0, r1, r2, r4, r6, r9}\n\t"
        "vldrw.u32 q4, [r6]\n\t"
        ".if %c[steps] == 1\n\t"
        "movs      r6, #4\n\t"
        "vadd.i32  q5, q4, r6\n\t"
        "vadd.i32  q6, q5, r6\n\t"
        "vadd.i32  q7, q6, r6\n\t"
        ".else\n\t"
        "vldrw.u32 q5, [r6, #16]\n\t"
        ".if %c[steps] > 2\n\t"
        "vldrw.u32 q6, [r6, #32]\n\t"
        ".endif\n\t"
        ".if %c[steps] > 3\n\t"
        "vldrw.u32 q7, [r6, #48]\n\t"
        ".endif\n\t"
        ".endif\n"
        "1:\n\t"
        "ldmia     r1!, {r0, r2, r4, r6, r8, r10, r12, lr}\n\t"
        ".macro nn_mve_taps taps, first, second\n\t"
        "vldrb.u8  q2, [r1], #16\n\t"
        "vldrw.u32 q0, [r3, \\taps]\n\t"
        ".if %c[is_tall]\n\t"
        "vshl.i32  q3, q2, #8\n\t" /* a row down */
        "vmladava.s8 \\first, q2, q0\n\t"
        "vmladava.s8 \\second, q3, q0\n\t"
        ".else\n\t"
        "vldrw.u32 q1, [r5, \\taps]\n\t"
        "vmladava.s8 \\first, q2, q0\n\t"
        "vmladava.s8 \\second, q2, q1\n\t"
        ".endif\n\t"
        ".endm\n\t"
        ".macro nn_mve_channel first, second\n\t"
        "nn_mve_taps q4, \\first, \\second\n\t"
        "nn_mve_taps q5, \\first, \\second\n\t"
        ".if %c[steps] > 2\n\t"
        "nn_mve_taps q6, \\first, \\second\n\t"
        ".endif\n\t"
        ".if %c[steps] > 3\n\t"
        "nn_mve_taps q7, \\first, \\second\n\t"
        ".endif\n\t"
        "adds      r3, #4\n\t"
        ".if !%c[is_tall]\n\t"
        "adds      r5, #4\n\t"
        ".endif\n\t"
        ".endm\n\t"
        ".if %c[steps] == 1\n\t"
        "nn_mve_taps q4, r0, r2\n\t"
        "nn_mve_taps q5, r4, r6\n\t"
        "nn_mve_taps q6, r8, r10\n\t"
        "nn_mve_taps q7, r12, lr\n\t"
        "adds      r3, #16\n\t"
        ".if !%c[is_tall]\n\t"
        "adds      r5, #16\n\t"
        ".endif\n\t"
        ".else\n\t"
        "nn_mve_channel r0, r2\n\t"
        "nn_mve_channel r4, r6\n\t"
        "nn_mve_channel r8, r10\n\t"
        "nn_mve_channel r12, lr\n\t"
        ".endif\n\t"
        ".purgem nn_mve_channel\n\t"
        ".purgem nn_mve_taps\n\t"
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
        "vldrh.u16 q2, [r1], #16\n\t"
        "vqmovnb.s32 q0, q0\n\t"
        "vqmovnt.s32 q0, q1\n\t"
        "vqadd.s16 q0, q0, r11\n\t"
        "vqmovnb.s16 q0, q0\n\t"
        ".if %c[flags] & 2\n\t"
        "vldrb.u8  q1, [r1], #16\n\t"
        "vmax.s8   q0, q0, q1\n\t"
        "vldrb.u8  q1, [r1], #16\n\t"
        "vmin.s8   q0, q0, q1\n\t"
        ".endif\n\t"
        ".if %c[flags] & 4\n\t"
        "vctp.16   r9\n\t"
        "vpst\n\t"
        "vstrbt.16 q0, [r7, q2]\n\t"
        ".else\n\t"
        "vstrb.16  q0, [r7, q2]\n\t"
        ".endif\n\t"
        "adds      r7, #4\n\t"
        "subs      r9, #8\n\t"
        "bgt       1b\n\t"
        "ldrd      r0, r1, [sp]\n\t"
        "ldrd      r2, r4, [sp, #8]\n\t"
        "ldr       r9, [sp, #20]\n\t"
        "add       r3, r0\n\t"
        "add       r5, r0\n\t"
        "add       r7, r2\n\t"
        "subs      r4, #1\n\t"
        "str       r4, [sp, #12]\n\t"
        "bgt       1b\n\t"
        "add       sp, #24\n\t"
        NN_MVE_LENGTH
        : "+r"(r0), "+r"(r1), "+r"(r2), "+r"(r3), "+r"(r4), "+r"(r5), "+r"(r6), "+r"(r7),
          "+r"(r9)
        : "r"(r11), [steps] "i"(steps), [is_tall] "i"(is_tall), [flags] "i"(flags)
        : "r8", "r10", "r12", "lr", "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "cc",
          "memory");
}

/* The words of up to four rows, from[3] only if has_fourth: to[i] = from[0][i], from[1][i], ...
 * for i < n; up to NN_MVE_DEPTHWISE_SLACK bytes more are written. */
static inline __attribute__((always_inline)) void
nn_mve_interleave(int8_t *to, const int8_t *const from[NN_MVE_DEPTHWISE_ROWS], int32_t n,
                  int32_t has_fourth)
{
    const int8_t *r0 = from[0];
    const int8_t *r1 = from[1];
    const int8_t *r2 = from[2];
    const int8_t *r3 = from[3];

    __asm__ volatile("wls      lr, %[blocks], 2f\n"
                     "1:\n\t"
                     "vldrb.u8 q0, [%[r0]], #16\n\t"
                     "vldrb.u8 q1, [%[r1]], #16\n\t"
                     "vldrb.u8 q2, [%[r2]], #16\n\t"
                     ".if %c[four]\n\t"
                     "vldrb.u8 q3, [%[r3]], #16\n\t"
                     ".endif\n\t"
                     "vst40.8  {q0, q1, q2, q3}, [%[to]]\n\t"
                     "vst41.8  {q0, q1, q2, q3}, [%[to]]\n\t"
                     "vst42.8  {q0, q1, q2, q3}, [%[to]]\n\t"
                     "vst43.8  {q0, q1, q2, q3}, [%[to]]!\n\t"
                     "le       lr, 1b\n"
                     "2:\n\t"
                     "ands     lr, %[n], #15\n\t"
                     "beq      3f\n\t"
                     "vctp.8   lr\n\t"
                     "vpstttt\n\t"
                     "vldrbt.u8 q0, [%[r0]]\n\t"
                     "vldrbt.u8 q1, [%[r1]]\n\t"
                     "vldrbt.u8 q2, [%[r2]]\n\t"
                     "vldrbt.u8 q3, [%[r3]]\n\t"
                     "vst40.8  {q0, q1, q2, q3}, [%[to]]\n\t"
                     "vst41.8  {q0, q1, q2, q3}, [%[to]]\n\t"
                     "vst42.8  {q0, q1, q2, q3}, [%[to]]\n\t"
                     "vst43.8  {q0, q1, q2, q3}, [%[to]]\n"
                     "3:"
                     : [to] "+r"(to), [r0] "+r"(r0), [r1] "+r"(r1), [r2] "+r"(r2),
                       [r3] "+r"(r3)
                     : [blocks] "r"(n / NN_MVE_LANES), [n] "r"(n), [four] "i"(has_fourth)
                     : "lr", "q0", "q1", "q2", "q3", "cc", "memory");
}

#else

static inline void nn_mve_depthwise_pairs(const struct nn_mve_depthwise *op, const int8_t *words,
                                          int8_t *out, int32_t pairs, int32_t steps,
                                          int32_t is_tall, int32_t flags)
{
    const int32_t columns = is_tall ? 1 : NN_MVE_DEPTHWISE_PIXELS;
    const int32_t apart = is_tall ? 1 : 4 * op->apart; /* bytes, to what the second sees */
    const int32_t rows = is_tall ? NN_MVE_DEPTHWISE_ROWS - 1 : NN_MVE_DEPTHWISE_ROWS;
    const int32_t vectors = NN_MVE_DEPTHWISE_CHANNELS * steps;

    for (int32_t pair = 0; pair < pairs; pair++) {
        const int8_t *starts = op->stream;
        const int8_t *x = words + pair * 4 * columns * op->apart;
        int8_t *to = out + pair * columns * op->window.out_ch;

        for (int32_t left = NN_MVE_DEPTHWISE_PIXELS * op->window.out_ch; left > 0;
             left -= NN_MVE_SUMS) {
            const int8_t *const weights = starts + 4 * NN_MVE_SUMS;
            const int8_t *const ends = weights + vectors * NN_MVE_LANES;

            for (int32_t i = 0; i < NN_MVE_SUMS && i < left; i++) {
                const int8_t *const of = x + i % 2 * apart + i / 2 * 4;
                const int8_t *const w = weights + i / 2 * steps * NN_MVE_LANES;
                int32_t sum = nn_mve_word(starts, i);
                int16_t at;

                for (int32_t tap = 0; tap < 4 * steps; tap++) {
                    for (int32_t row = 0; row < rows; row++) {
                        sum += of[op->taps[tap] + row] * w[4 * tap + row];
                    }
                }
                memcpy(&at, ends + 32 + 2 * i, sizeof at);
                to[at] = nn_mve_requant(sum, nn_mve_word(ends, i / 2),
                                        nn_mve_word(ends, 4 + i / 2), op->out_zero, op->act_min,
                                        op->act_max);
            }
            starts = ends + 48 + (flags & NN_MVE_CLAMPED ? 32 : 0);
            x += 16;
            to += NN_MVE_DEPTHWISE_CHANNELS;
        }
    }
}

static inline void nn_mve_interleave(int8_t *to, const int8_t *const from[NN_MVE_DEPTHWISE_ROWS],
                                     int32_t n, int32_t has_fourth)
{
    for (int32_t i = 0; i < n; i++) {
        to[4 * i] = from[0][i];
        to[4 * i + 1] = from[1][i];
        to[4 * i + 2] = from[2][i];
        to[4 * i + 3] = has_fourth ? from[3][i] : 0;
    }
}

#endif

/* Depth multiplier 1: in [batches][in_h][in_w][in_ch], out [batches][out_h][out_w][in_ch]. A row
 * of outputs, or two, is written when all that it sees has been read; the last of an odd number of
 * rows is made with the one before, once more. */
void nn_mve_depthwise_s8(const struct nn_mve_depthwise *op, nn_mve_depthwise_fn *pairs,
                         const int8_t *in, int8_t *out, int8_t *scratch);

#endif
