/* Weights times a vector on MVE. SPDX-License-Identifier: Apache-2.0 */
#include "nn_sums_mve.h"

#include "nn_mve.h"

#if NN_MVE_ASSEMBLY

/* Adds `blocks` > 0 blocks of eight channels by the whole vectors in [x, end) to their sums. */
static void run(int32_t *sums, int32_t blocks, const int8_t *w, const int8_t *x,
                const int8_t *end)
{
    register const int8_t *r1 __asm__("r1") = w;
    register const int8_t *r5 __asm__("r5") = end;
    register int32_t *r7 __asm__("r7") = sums;
    register int32_t r9 __asm__("r9") = blocks;
    register const int8_t *r11 __asm__("r11") = x;

    __asm__ volatile(
        ".macro nn_sums_pair even, odd\n\t"
        "vldrb.u8  q1, [r1], #16\n\t"
        "vmladava.s8 \\even, q1, q0\n\t"
        "vldrb.u8  q2, [r1], #16\n\t"
        "vmladava.s8 \\odd, q2, q0\n\t"
        ".endm\n"
        "1:\n\t"
        "ldmia     r7, {r0, r2, r4, r6, r8, r10, r12, lr}\n\t"
        "mov       r3, r11\n"
        "2:\n\t"
        "vldrb.u8  q0, [r3], #16\n\t"
        "nn_sums_pair r0, r2\n\t"
        "nn_sums_pair r4, r6\n\t"
        "nn_sums_pair r8, r10\n\t"
        "nn_sums_pair r12, lr\n\t"
        "cmp       r3, r5\n\t"
        "bne       2b\n\t"
        "stmia     r7!, {r0, r2, r4, r6, r8, r10, r12, lr}\n\t"
        "subs      r9, #1\n\t"
        "bne       1b\n\t"
        ".purgem nn_sums_pair"
        : "+r"(r1), "+r"(r7), "+r"(r9)
        : "r"(r5), "r"(r11)
        : "r0", "r2", "r3", "r4", "r6", "r8", "r10", "r12", "lr", "q0", "q1", "q2", "cc",
          "memory");
}

#else

static void run(int32_t *sums, int32_t blocks, const int8_t *w, const int8_t *x,
                const int8_t *end)
{
    for (; blocks > 0; blocks--, sums += NN_MVE_SUMS) {
        for (const int8_t *at = x; at < end; at += NN_MVE_LANES) {
            for (int32_t i = 0; i < NN_MVE_SUMS * NN_MVE_LANES; i++) {
                sums[i / NN_MVE_LANES] += *w++ * at[i % NN_MVE_LANES];
            }
        }
    }
}

#endif

void nn_sums_mve(const struct nn_sums *op, const int8_t *in, int32_t *sums, int8_t *scratch)
{
    const int32_t whole = (op->depth + NN_MVE_LANES - 1) & -NN_MVE_LANES;
    const int8_t *x = in;

    if (op->depth < whole) {
        nn_mve_copy(scratch, in, op->depth);
        x = scratch; /* behind the inputs, weights are 0 */
    }
    nn_mve_copy((int8_t *)sums, (const int8_t *)op->starts,
                op->channels * (int32_t)sizeof *sums);
    run(sums, op->channels / NN_MVE_SUMS, op->weights, x, x + whole);
}
