/* nn_scalar_product's inner loop for Xtensa without windows or loops, as the LX106 is.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_SCALAR_SUM_XTENSA_H
#define NN_SCALAR_SUM_XTENSA_H

#include "nn_scalar_sum.h"

/* A word into the sums of both channels. */
#define WORD(at, a, b)              \
    "l32i   a6, a3, " at "\n\t"     \
    "mull   a7, a6, a0\n\t"         \
    "add    " a ", " a ", a7\n\t"   \
    "mull   a7, a6, a2\n\t"         \
    "add    " b ", " b ", a7\n\t"

#define INPUT(a, b, x0, x1, x2, x3) \
    "l8ui   a0, a5, " a "\n\t"      \
    "l8ui   a2, a5, " b "\n\t"      \
    WORD(x0, "a8", "a12")           \
    WORD(x1, "a9", "a13")           \
    WORD(x2, "a10", "a14")          \
    WORD(x3, "a11", "a15")

/* sum_terms of NN_SCALAR_TRIPLES. A function of its own, since it takes all registers: a3
 * columns, a4 their end, a5 weights, a8-a15 sums; on the stack s. */
const uint8_t *nn_scalar_sum_blocks(struct nn_scalar_sums *s, const uint32_t *x,
                                    const uint32_t *end, const uint8_t *w);

__asm__(".section .text.nn_scalar_sum_blocks, \"ax\", @progbits\n\t"
        ".align 4\n\t"
        ".type nn_scalar_sum_blocks, @function\n"
        "nn_scalar_sum_blocks:\n\t"
        "addi   a1, a1, -32\n\t"
        "s32i   a0, a1, 0\n\t"
        "s32i   a2, a1, 4\n\t"
        "s32i   a12, a1, 8\n\t"
        "s32i   a13, a1, 12\n\t"
        "s32i   a14, a1, 16\n\t"
        "s32i   a15, a1, 20\n\t"
        "l32i   a8, a2, 0\n\t"
        "l32i   a9, a2, 4\n\t"
        "l32i   a10, a2, 8\n\t"
        "l32i   a11, a2, 12\n\t"
        "mov    a12, a8\n\t"
        "mov    a13, a9\n\t"
        "mov    a14, a10\n\t"
        "mov    a15, a11\n"
        "1:\n\t"
        INPUT("0", "1", "0", "4", "8", "12")
        INPUT("2", "3", "16", "20", "24", "28")
        INPUT("4", "5", "32", "36", "40", "44")
        INPUT("6", "7", "48", "52", "56", "60")
        "addi   a3, a3, 64\n\t"
        "addi   a5, a5, 8\n\t"
        "bne    a3, a4, 1b\n\t"
        "l32i   a2, a1, 4\n\t"
        "s32i   a8, a2, 0\n\t"
        "s32i   a9, a2, 4\n\t"
        "s32i   a10, a2, 8\n\t"
        "s32i   a11, a2, 12\n\t"
        "s32i   a12, a2, 16\n\t"
        "s32i   a13, a2, 20\n\t"
        "s32i   a14, a2, 24\n\t"
        "s32i   a15, a2, 28\n\t"
        "mov    a2, a5\n\t"
        "l32i   a0, a1, 0\n\t"
        "l32i   a12, a1, 8\n\t"
        "l32i   a13, a1, 12\n\t"
        "l32i   a14, a1, 16\n\t"
        "l32i   a15, a1, 20\n\t"
        "addi   a1, a1, 32\n\t"
        "ret\n\t"
        ".size nn_scalar_sum_blocks, . - nn_scalar_sum_blocks\n\t"
        ".text");

#endif
