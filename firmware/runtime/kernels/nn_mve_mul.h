/* Product of two int8 tensors on MVE. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_MVE_MUL_H
#define NN_MVE_MUL_H

#include "nn_mve.h"
#include "nn_walk.h"

struct nn_mve_mul {
    int32_t a_offset;   /* minus the zero point, in [-127, 128] */
    int32_t b_offset;
    int32_t multiplier;
    int32_t shift;      /* negative, to the right */
    int8_t out_zero;
    int8_t act_min;
    int8_t act_max;
};

#if NN_MVE_ASSEMBLY

/* The whole blocks of a row; returns how many elements those are. */
static inline __attribute__((always_inline)) int32_t
nn_mve_mul_blocks(const struct nn_mve_mul *op, int32_t row, const int8_t *a, const int8_t *b,
                  int8_t *out, int32_t flags)
{
    /* Of b, what is added to each element, or all that there is; of a likewise. */
    const int32_t second = flags & NN_MVE_REPEATED ? *b + op->b_offset : op->b_offset;
    const int32_t offsets = (uint16_t)second | op->a_offset * 0x10000;
    const int32_t limits = (uint8_t)op->act_min | op->act_max * 0x100;

    __asm__ volatile("vdup.16   q4, %[offsets]\n\t"
                     "asr       lr, %[offsets], #16\n\t"
                     "vdup.16   q7, lr\n\t"
                     "vdup.8    q5, %[limits]\n\t"
                     "asr       lr, %[limits], #8\n\t"
                     "vdup.8    q6, lr\n\t"
                     "wls       lr, %[blocks], 2f\n"
                     "1:\n\t"
                     "vldrb.s16 q2, [%[a]], #8\n\t"
                     "vadd.i16  q2, q2, q7\n\t"
                     ".if %c[flags] & 8\n\t"
                     "vmullb.s16 q0, q2, q4\n\t"
                     "vmullt.s16 q1, q2, q4\n\t"
                     ".else\n\t"
                     "vldrb.s16 q3, [%[b]], #8\n\t"
                     "vadd.i16  q3, q3, q4\n\t"
                     "vmullb.s16 q0, q2, q3\n\t"
                     "vmullt.s16 q1, q2, q3\n\t"
                     ".endif\n\t"
                     "vqrdmulh.s32 q0, q0, %[multiplier]\n\t"
                     "vqrdmulh.s32 q1, q1, %[multiplier]\n\t"
                     NN_MVE_SIGN
                     "vrshl.s32 q0, %[shift]\n\t"
                     "vrshl.s32 q1, %[shift]\n\t"
                     "vqmovnb.s32 q0, q0\n\t"
                     "vqmovnt.s32 q0, q1\n\t"
                     "vqadd.s16 q0, q0, %[zero]\n\t"
                     "vqmovnb.s16 q0, q0\n\t"
                     ".if %c[flags] & 2\n\t"
                     "vmax.s8   q0, q0, q5\n\t"
                     "vmin.s8   q0, q0, q6\n\t"
                     ".endif\n\t"
                     "vstrb.16  q0, [%[out]], #8\n\t"
                     "le        lr, 1b\n"
                     "2:"
                     : [a] "+l"(a), [b] "+l"(b), [out] "+l"(out)
                     : [blocks] "r"(row / NN_MVE_SUMS), [offsets] "r"(offsets),
                       [multiplier] "r"(op->multiplier), [shift] "r"(op->shift),
                       [zero] "r"((int32_t)op->out_zero), [limits] "r"(limits),
                       [flags] "i"(flags)
                     : "lr", "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "cc", "memory");
    return row & -NN_MVE_SUMS;
}

#else

static inline int32_t nn_mve_mul_blocks(const struct nn_mve_mul *op, int32_t row,
                                        const int8_t *a, const int8_t *b, int8_t *out,
                                        int32_t flags)
{
    (void)op, (void)row, (void)a, (void)b, (void)out, (void)flags;
    return 0;
}

#endif

/* As nn_mul_s8. */
static inline __attribute__((always_inline)) void
nn_mve_mul_s8(const struct nn_mve_mul *op, const struct nn_walk *walk, const int8_t *a,
              const int8_t *b, int8_t *out, int32_t flags)
{
    struct nn_walk_row at = { 0 };

    do {
        const int8_t *const x = a + at.a;
        const int8_t *const y = b + at.b;

        for (int32_t i = nn_mve_mul_blocks(op, walk->row, x, y, out, flags); i < walk->row; i++) {
            const int32_t p = x[i] + op->a_offset;
            const int32_t q = y[flags & NN_MVE_REPEATED ? 0 : i] + op->b_offset;

            out[i] = nn_requant_s8(p * q, op->multiplier, op->shift, op->out_zero, op->act_min,
                                   op->act_max);
        }
        out += walk->row;
    } while (nn_walk_next(walk, &at));
}

#endif
