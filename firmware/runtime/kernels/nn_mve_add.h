/* Sum of two int8 tensors on MVE. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_MVE_ADD_H
#define NN_MVE_ADD_H

#include "nn_mve.h"

#define NN_MVE_ADD_SHIFT 19 /* of the operand that has the larger scale: one half of 2^20 */

struct nn_mve_add {
    const int32_t *table;   /* by an operand's bytes, unsigned: what it adds, rescaled, with both
                             * inputs' zero points */
    int32_t count;
    int32_t multiplier;
    int32_t shift;          /* negative, to the right */
    int8_t out_zero;
    int8_t act_min;
    int8_t act_max;
};

static inline __attribute__((always_inline)) void
nn_mve_add_rest(const struct nn_mve_add *op, const int8_t *looked_up, const int8_t *shifted,
                int8_t *out, int32_t first)
{
    for (int32_t i = first; i < op->count; i++) {
        const int32_t sum = op->table[(uint8_t)looked_up[i]] +
                            shifted[i] * (1 << NN_MVE_ADD_SHIFT);

        out[i] = nn_requant_s8(sum, op->multiplier, op->shift, op->out_zero, op->act_min,
                               op->act_max);
    }
}

/* All [count]; out may be an operand. */
static inline __attribute__((always_inline)) void
nn_mve_add_s8(const struct nn_mve_add *op, const int8_t *looked_up, const int8_t *shifted,
              int8_t *out, int32_t flags)
{
#if NN_MVE_ASSEMBLY
    /* Where the sums of elements 0 to 3 and 4 to 7 go, in turn. */
    static const uint16_t places[NN_MVE_SUMS] = { 0, 4, 1, 5, 2, 6, 3, 7 };
    const int8_t *x = looked_up;
    const int8_t *y = shifted;
    int8_t *to = out;

    __asm__ volatile("vldrh.u16 q7, [%[places]]\n\t"
                     "vdup.8    q5, %[low]\n\t"
                     "vdup.8    q6, %[high]\n\t"
                     "wls       lr, %[blocks], 2f\n"
                     "1:\n\t"
                     "vldrb.u32 q0, [%[x]], #4\n\t"
                     "vldrb.u32 q1, [%[x]], #4\n\t"
                     "vldrw.u32 q2, [%[table], q0, uxtw #2]\n\t"
                     "vldrw.u32 q3, [%[table], q1, uxtw #2]\n\t"
                     "vldrb.s32 q0, [%[y]], #4\n\t"
                     "vldrb.s32 q1, [%[y]], #4\n\t"
                     "vshl.i32  q0, q0, #19\n\t"
                     "vshl.i32  q1, q1, #19\n\t"
                     "vadd.i32  q0, q0, q2\n\t"
                     "vadd.i32  q1, q1, q3\n\t"
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
                     "vstrb.16  q0, [%[to], q7]\n\t"
                     "adds      %[to], #8\n\t"
                     "le        lr, 1b\n"
                     "2:"
                     : [x] "+l"(x), [y] "+l"(y), [to] "+r"(to)
                     : [places] "r"(places), [table] "r"(op->table),
                       [blocks] "r"(op->count / NN_MVE_SUMS), [multiplier] "r"(op->multiplier),
                       [shift] "r"(op->shift), [zero] "r"((int32_t)op->out_zero), [low] "r"(op->act_min),
                       [high] "r"(op->act_max), [flags] "i"(flags)
                     : "lr", "q0", "q1", "q2", "q3", "q5", "q6", "q7", "cc", "memory");
    nn_mve_add_rest(op, looked_up, shifted, out, op->count & -NN_MVE_SUMS);
#else
    (void)flags;
    nn_mve_add_rest(op, looked_up, shifted, out, 0);
#endif
}

#endif
