/* nn_scalar_product's inner loop in Armv7-M. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_SCALAR_SUM_THUMB2_H
#define NN_SCALAR_SUM_THUMB2_H

#include "nn_scalar_sum.h"

/* A triple's words, of one input, into the sums of both channels. */
#define TRIPLE(a0, a1, b0, b1)                 \
    "ldm    r1!, {r0, r2}\n\t"                 \
    "mla    " a0 ", r0, r12, " a0 "\n\t"       \
    "mla    " a1 ", r2, r12, " a1 "\n\t"       \
    "mla    " b0 ", r0, lr, " b0 "\n\t"        \
    "mla    " b1 ", r2, lr, " b1 "\n\t"

#define INPUT                                  \
    "ldrb   r12, [r3], #1\n\t"                 \
    "ldrb   lr, [r3], #1\n\t"                  \
    TRIPLE("r4", "r5", "r8", "r9")             \
    TRIPLE("r6", "r7", "r10", "r11")

/* sum_terms of NN_SCALAR_TRIPLES. A function of its own, since it takes all registers: r1
 * columns, r3 weights, r4-r11 sums; on the stack s and the columns' end. */
const uint8_t *nn_scalar_sum_blocks(struct nn_scalar_sums *s, const uint32_t *x,
                                    const uint32_t *end, const uint8_t *w);

__asm__(".syntax unified\n\t"
        ".section .text.nn_scalar_sum_blocks, \"ax\", %progbits\n\t"
        ".p2align 2\n\t"
        ".thumb\n\t"
        ".thumb_func\n\t"
        ".type nn_scalar_sum_blocks, %function\n"
        "nn_scalar_sum_blocks:\n\t"
        "push   {r0, r2, r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"
        "ldm    r0, {r4, r5, r6, r7}\n\t"
        "mov    r8, r4\n\t"
        "mov    r9, r5\n\t"
        "mov    r10, r6\n\t"
        "mov    r11, r7\n"
        "1:\n\t"
        INPUT
        INPUT
        INPUT
        INPUT
        "ldr    r0, [sp, #4]\n\t"
        "cmp    r1, r0\n\t"
        "bne    1b\n\t"
        "ldr    r0, [sp]\n\t"
        "stm    r0, {r4, r5, r6, r7, r8, r9, r10, r11}\n\t"
        "mov    r0, r3\n\t"
        "pop    {r1, r2, r4, r5, r6, r7, r8, r9, r10, r11, pc}\n\t"
        ".size nn_scalar_sum_blocks, . - nn_scalar_sum_blocks\n\t"
        ".text");

#endif
