/* Fully connected layer on MVE: eight outputs at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_MVE_FC_H
#define NN_MVE_FC_H

#include "nn_mve.h"

struct nn_mve_fc {
    const int8_t *stream;   /* of each eight outputs: where their sums start, the input's zero point
                             * folded in (int32); weights [loops * steps][8][16]; multipliers of
                             * outputs 0, 2, 4, 6, 1, 3, 5, 7, and negative right shifts likewise
                             * (int32); if clamped act_min and act_max, 16 times each */
    int32_t batches;
    int32_t in_depth;
    int32_t out_depth;
    int32_t loops;          /* over `steps` vectors of the input */
    int8_t out_zero;
    int8_t act_min;
    int8_t act_max;
};

#if NN_MVE_ASSEMBLY

static inline __attribute__((always_inline)) void
nn_mve_fc_row(const struct nn_mve_fc *op, const int8_t *x, int8_t *out, int32_t steps,
              int32_t is_long, int32_t flags)
{
    register int32_t r0 __asm__("r0") = op->loops;
    register const int8_t *r1 __asm__("r1") = op->stream;
    register const int8_t *r3 __asm__("r3") = x;
    register int8_t *r7 __asm__("r7") = out;
    register int32_t r9 __asm__("r9") = op->out_depth;
    register int32_t r11 __asm__("r11") = op->out_zero;

    __asm__ volatile(
        ".macro nn_mve_pair even, odd\n\t"
        "vldrb.u8  q1, [r1], #16\n\t"
        "vmladava.s8 \\even, q1, q0\n\t"
        "vldrb.u8  q2, [r1], #16\n\t"
        "vmladava.s8 \\odd, q2, q0\n\t"
        ".endm\n\t"
        ".if %c[is_long]\n\t"
        "strd      r0, r3, [sp, #-8]!\n\t"
        ".endif\n"
        "1:\n\t"
        ".if %c[is_long]\n\t"
        "ldrd      r5, r3, [sp]\n\t"
        ".endif\n\t"
        "ldmia     r1!, {r0, r2, r4, r6, r8, r10, r12, lr}\n"
        "2:\n\t"
        ".set .Lstep, 0\n\t"
        ".rept %c[steps]\n\t"
        ".if %c[is_long]\n\t"
        "vldrb.u8  q0, [r3], #16\n\t"
        ".else\n\t"
        "vldrb.u8  q0, [r3, #(16 * .Lstep)]\n\t"
        ".endif\n\t"
        "nn_mve_pair r0, r2\n\t"
        "nn_mve_pair r4, r6\n\t"
        "nn_mve_pair r8, r10\n\t"
        "nn_mve_pair r12, lr\n\t"
        ".set .Lstep, .Lstep + 1\n\t"
        ".endr\n\t"
        ".purgem nn_mve_pair\n\t"
        ".if %c[is_long]\n\t"
        "subs      r5, #1\n\t"
        "bne       2b\n\t"
        ".endif\n\t"
        "vmov      q0[2], q0[0], r0, r8\n\t"
        "vmov      q1[2], q1[0], r2, r10\n\t"
        "vldrw.u32 q2, [r1], #16\n\t"
        "vmov      q0[3], q0[1], r4, r12\n\t"
        "vmov      q1[3], q1[1], r6, lr\n\t"
        "vldrw.u32 q3, [r1], #16\n\t"
        "vqrdmulh.s32 q0, q0, q2\n\t"
        "vqrdmulh.s32 q1, q1, q3\n\t"
        NN_MVE_SIGN
        "vldrw.u32 q2, [r1], #16\n\t"
        "vrshl.s32 q0, q0, q2\n\t"
        "vldrw.u32 q3, [r1], #16\n\t"
        "vrshl.s32 q1, q1, q3\n\t"
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
        "vstrbt.16 q0, [r7], #8\n\t"
        ".else\n\t"
        "vstrb.16  q0, [r7], #8\n\t"
        ".endif\n\t"
        "subs      r9, #8\n\t"
        "bgt       1b\n\t"
        ".if %c[is_long]\n\t"
        "add       sp, #8\n\t"
        ".endif\n\t"
        NN_MVE_LENGTH
        : "+r"(r0), "+r"(r1), "+r"(r3), "+r"(r7), "+r"(r9)
        : "r"(r11), [steps] "i"(steps), [is_long] "i"(is_long), [flags] "i"(flags)
        : "r2", "r4", "r5", "r6", "r8", "r10", "r12", "lr", "q0", "q1", "q2", "q3", "cc",
          "memory");
}

#else

static inline void nn_mve_fc_row(const struct nn_mve_fc *op, const int8_t *x, int8_t *out,
                                 int32_t steps, int32_t is_long, int32_t flags)
{
    const int32_t vectors = is_long ? op->loops * steps : steps;
    const int8_t *starts = op->stream;

    for (int32_t left = op->out_depth; left > 0; left -= NN_MVE_SUMS, out += NN_MVE_SUMS) {
        const int8_t *const weights = starts + 4 * NN_MVE_SUMS;
        const int8_t *const words = weights + vectors * NN_MVE_SUMS * NN_MVE_LANES;

        for (int32_t i = 0; i < NN_MVE_SUMS && i < left; i++) {
            const int32_t place = i / 2 + i % 2 * 4;
            int32_t sum = nn_mve_word(starts, i);

            for (int32_t k = 0; k < op->in_depth; k++) {
                const int32_t vector = k / NN_MVE_LANES * NN_MVE_SUMS + i;

                sum = (int32_t)((uint32_t)sum +
                                (uint32_t)(x[k] * weights[vector * NN_MVE_LANES +
                                                          k % NN_MVE_LANES]));
            }
            out[i] = nn_mve_requant(sum, nn_mve_word(words, place),
                                    nn_mve_word(words, NN_MVE_SUMS + place), op->out_zero,
                                    op->act_min, op->act_max);
        }
        starts = words + 2 * 4 * NN_MVE_SUMS + (flags & NN_MVE_CLAMPED ? 2 * NN_MVE_LANES : 0);
    }
}

#endif

/* in [batches][in_depth], out [batches][out_depth]; scratch the input in whole vectors, loops *
 * steps of them, or null where it is whole vectors already. None may overlap another. is_long:
 * there are more than eight of them. */
static inline __attribute__((always_inline)) void
nn_mve_fc_s8(const struct nn_mve_fc *op, const int8_t *in, int8_t *out, int8_t *scratch,
             int32_t steps, int32_t is_long, int32_t flags)
{
    for (int32_t batch = 0; batch < op->batches; batch++) {
        const int8_t *x = in;

        if (scratch) {
            nn_mve_copy(scratch, in, op->in_depth);
            x = scratch;
        }
        nn_mve_fc_row(op, x, out, steps, is_long, flags);
        in += op->in_depth;
        out += op->out_depth;
    }
}

#endif
