/* nn_scalar_product's inner loop in Armv7-M. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_SCALAR_SUM_THUMB2_H
#define NN_SCALAR_SUM_THUMB2_H

#include "nn_scalar_sum.h"

/* One input into the sums of one channel: r4-r6 and r7-r9. `op` is mul, or mla. */
#define FIRST_A "mul r4, r1, r12\n\tmul r5, r2, r12\n\tmul r6, r3, r12\n\t"
#define FIRST_B "mul r7, r1, r12\n\tmul r8, r2, r12\n\tmul r9, r3, r12\n\t"
#define NEXT_A "mla r4, r1, r12, r4\n\tmla r5, r2, r12, r5\n\tmla r6, r3, r12, r6\n\t"
#define NEXT_B "mla r7, r1, r12, r7\n\tmla r8, r2, r12, r8\n\tmla r9, r3, r12, r9\n\t"

#define TERM(a, b)                    \
    "ldm    r10!, {r1, r2, r3}\n\t"   \
    "ldrsb  r12, [r11], #1\n\t"       \
    a                                 \
    "ldrsb  r12, [r11], #1\n\t"       \
    b

#define FINISH(sum, at)                        \
    "ldrd   r1, r2, [r0, #" at "]\n\t"         \
    "add    r1, r1, " sum "\n\t"               \
    "add    " sum ", " sum ", #0x8000\n\t"     \
    "add    r2, r2, " sum ", asr #16\n\t"      \
    "strd   r1, r2, [r0, #" at "]\n\t"

/* sum_groups of NN_SCALAR_PAIRS. A function of its own, since it takes all
 * registers: r0 s, r10 columns, r11 weights, lr a group's end; on the stack the columns'. */
const uint8_t *nn_scalar_sum_blocks(struct nn_scalar_sums *s, const uint32_t *x,
                                    const uint32_t *end, const uint8_t *w);

__asm__(".syntax unified\n\t"
        ".section .text.nn_scalar_sum_blocks, \"ax\", %progbits\n\t"
        ".p2align 2\n\t"
        ".thumb\n\t"
        ".thumb_func\n\t"
        ".type nn_scalar_sum_blocks, %function\n"
        "nn_scalar_sum_blocks:\n\t"
        "push   {r2, r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"
        "mov    r10, r1\n\t"
        "mov    r11, r3\n\t"
        "movs   r2, #0\n\t"
        "movs   r3, #0\n\t"
        "strd   r2, r3, [r0]\n\t"
        "strd   r2, r3, [r0, #8]\n\t"
        "strd   r2, r3, [r0, #16]\n\t"
        "strd   r2, r3, [r0, #24]\n\t"
        "strd   r2, r3, [r0, #32]\n\t"
        "strd   r2, r3, [r0, #40]\n"
        "1:\n\t"
        "ldrb   lr, [r11], #1\n\t"
        "add    lr, lr, r11\n\t"
        TERM(FIRST_A, FIRST_B)
        "b      3f\n"
        "2:\n\t"
        TERM(NEXT_A, NEXT_B)
        "3:\n\t"
        TERM(NEXT_A, NEXT_B)
        "cmp    r11, lr\n\t"
        "bne    2b\n\t"
        FINISH("r4", "0")
        FINISH("r5", "8")
        FINISH("r6", "16")
        FINISH("r7", "24")
        FINISH("r8", "32")
        FINISH("r9", "40")
        "ldr    r1, [sp]\n\t"
        "cmp    r10, r1\n\t"
        "bne    1b\n\t"
        "mov    r0, r11\n\t"
        "pop    {r2, r4, r5, r6, r7, r8, r9, r10, r11, pc}\n\t"
        ".size nn_scalar_sum_blocks, . - nn_scalar_sum_blocks\n\t"
        ".text");

#endif
