/* nn_scalar_product's inner loop in Armv6-M. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_SCALAR_SUM_THUMB1_H
#define NN_SCALAR_SUM_THUMB1_H

#include "nn_scalar_sum.h"

/* One input, of a pair of pixels, into both channels' sums: r4 and r5. */
#define FIRST                         \
    "ldm    r1!, {r2}\n\t"            \
    "ldrsb  r4, [r3, r6]\n\t"         \
    "ldrsb  r5, [r3, r7]\n\t"         \
    "muls   r4, r2, r4\n\t"           \
    "muls   r5, r2, r5\n\t"

#define NEXT                          \
    "ldm    r1!, {r2}\n\t"            \
    "ldrsb  r0, [r3, r6]\n\t"         \
    "muls   r0, r2, r0\n\t"           \
    "adds   r4, r4, r0\n\t"           \
    "ldrsb  r0, [r3, r7]\n\t"         \
    "muls   r0, r2, r0\n\t"           \
    "adds   r5, r5, r0\n\t"           \
    "adds   r3, #2\n\t"

/* The bit that the shift loses is its rounding. */
#define FINISH(sum, all, upper)                 \
    "add    " all ", " sum "\n\t"               \
    "asrs   " sum ", " sum ", #16\n\t"          \
    "adcs   " sum ", r6\n\t"                    \
    "add    " upper ", " sum "\n\t"

/* sum_groups of NN_SCALAR_PAIRS. A function of its own, since it takes all
 * registers: r1 columns, r3 weights, r6 zero, r7 one, r8-r11 what *s holds, r12 the columns'
 * end, lr a group's. */
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
        "mov    r5, r9\n\t"
        "mov    r6, r10\n\t"
        "mov    r7, r11\n\t"
        "push   {r4, r5, r6, r7}\n\t"
        "mov    r12, r2\n\t"
        "movs   r6, #0\n\t"
        "movs   r7, #1\n\t"
        "mov    r8, r6\n\t"
        "mov    r9, r6\n\t"
        "mov    r10, r6\n\t"
        "mov    r11, r6\n"
        "1:\n\t"
        "ldrb   r0, [r3]\n\t"
        "adds   r3, #1\n\t"
        "adds   r0, r0, r3\n\t"
        "mov    lr, r0\n\t"
        FIRST
        "adds   r3, #2\n\t"
        "b      3f\n"
        "2:\n\t"
        NEXT
        "3:\n\t"
        NEXT
        "cmp    r3, lr\n\t"
        "bne    2b\n\t"
        FINISH("r4", "r8", "r9")
        FINISH("r5", "r10", "r11")
        "cmp    r1, r12\n\t"
        "bne    1b\n\t"
        "mov    r4, r8\n\t"
        "mov    r5, r9\n\t"
        "mov    r6, r10\n\t"
        "mov    r7, r11\n\t"
        "ldr    r0, [sp, #16]\n\t"
        "stm    r0!, {r4, r5, r6, r7}\n\t"
        "pop    {r4, r5, r6, r7}\n\t"
        "mov    r8, r4\n\t"
        "mov    r9, r5\n\t"
        "mov    r10, r6\n\t"
        "mov    r11, r7\n\t"
        "mov    r0, r3\n\t"
        "pop    {r3, r4, r5, r6, r7, pc}\n\t"
        ".size nn_scalar_sum_blocks, . - nn_scalar_sum_blocks\n\t"
        ".text");

#endif
