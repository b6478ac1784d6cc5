/* nn_scalar_product's inner loop in Armv6-M. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_SCALAR_SUM_THUMB1_H
#define NN_SCALAR_SUM_THUMB1_H

#include "nn_scalar_sum.h"

/* One input of a triple into both channels' sums: r0 and r2, lr and r8. A product goes where
 * one of its factors was. */
#define INPUT(a, b)                   \
    "ldm    r1!, {r6, r7}\n\t"        \
    "ldrb   r4, [r3, #" a "]\n\t"     \
    "mov    r5, r4\n\t"               \
    "muls   r5, r6, r5\n\t"           \
    "adds   r0, r0, r5\n\t"           \
    "muls   r4, r7, r4\n\t"           \
    "adds   r2, r2, r4\n\t"           \
    "ldrb   r4, [r3, #" b "]\n\t"     \
    "muls   r6, r4, r6\n\t"           \
    "add    lr, r6\n\t"               \
    "muls   r7, r4, r7\n\t"           \
    "add    r8, r7\n\t"

/* sum_terms of NN_SCALAR_TRIPLES. A function of its own, since it takes all registers: r1
 * columns, r12 their end, r3 weights. */
const uint8_t *nn_scalar_sum_blocks(struct nn_scalar_sums *s, const uint32_t *x,
                                    const uint32_t *end, const uint8_t *w);

__asm__(".syntax unified\n\t"
        ".section .text.nn_scalar_sum_blocks, \"ax\", %progbits\n\t"
        ".p2align 2\n\t"
        ".thumb\n\t"
        ".thumb_func\n\t"
        ".type nn_scalar_sum_blocks, %function\n"
        "nn_scalar_sum_blocks:\n\t"
        "push   {r0, r4, r5, r6, r7, lr}\n\t"
        "mov    r4, r8\n\t"
        "push   {r4}\n\t"
        "mov    r12, r2\n\t"
        "ldr    r2, [r0, #4]\n\t"
        "ldr    r0, [r0]\n\t"
        "mov    lr, r0\n\t"
        "mov    r8, r2\n"
        "1:\n\t"
        INPUT("0", "1")
        INPUT("2", "3")
        INPUT("4", "5")
        INPUT("6", "7")
        "adds   r3, #8\n\t"
        "cmp    r1, r12\n\t"
        "bne    1b\n\t"
        "mov    r6, lr\n\t"
        "mov    r7, r8\n\t"
        "pop    {r1, r4}\n\t" /* r8, s */
        "mov    r8, r1\n\t"
        "stm    r4!, {r0, r2, r6, r7}\n\t"
        "mov    r0, r3\n\t"
        "pop    {r4, r5, r6, r7, pc}\n\t"
        ".size nn_scalar_sum_blocks, . - nn_scalar_sum_blocks\n\t"
        ".text");

#endif
