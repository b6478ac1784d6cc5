/* nn_scalar_product's inner loop for Xtensa without windows or loops, as the LX106 is.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_SCALAR_SUM_XTENSA_H
#define NN_SCALAR_SUM_XTENSA_H

#include "nn_scalar_sum.h"

#define PRODUCT(to, at)           \
    "l8ui   " to ", a5, " at "\n\t" \
    "slli   " to ", " to ", 24\n\t" \
    "srai   " to ", " to ", 24\n\t" \
    "mull   " to ", " to ", a6\n\t"

/* One input, of a pair of pixels, into both channels' sums: a8 and a9. */
#define TERM(x, a, b)             \
    "l32i   a6, a3, " x "\n\t"    \
    PRODUCT("a7", a)              \
    "add    a8, a8, a7\n\t"       \
    PRODUCT("a7", b)              \
    "add    a9, a9, a7\n\t"

#define FINISH(sum, all, upper)               \
    "add    " all ", " all ", " sum "\n\t"    \
    "add    " sum ", " sum ", a15\n\t"        \
    "srai   " sum ", " sum ", 16\n\t"         \
    "add    " upper ", " upper ", " sum "\n\t"

/* sum_groups of NN_SCALAR_PAIRS. A function of its own, since it takes all registers: a2 s, a3
 * columns, a4 their end, a5 weights, a10-a13 what *s holds, a14 a group's end, a15 HALF. */
const uint8_t *nn_scalar_sum_blocks(struct nn_scalar_sums *s, const uint32_t *x,
                                    const uint32_t *end, const uint8_t *w);

__asm__(".section .text.nn_scalar_sum_blocks, \"ax\", @progbits\n\t"
        ".align 4\n\t"
        ".type nn_scalar_sum_blocks, @function\n"
        "nn_scalar_sum_blocks:\n\t"
        "addi   a1, a1, -16\n\t"
        "s32i   a12, a1, 0\n\t"
        "s32i   a13, a1, 4\n\t"
        "s32i   a14, a1, 8\n\t"
        "s32i   a15, a1, 12\n\t"
        "movi   a15, 1\n\t"
        "slli   a15, a15, 15\n\t"
        "movi   a10, 0\n\t"
        "movi   a11, 0\n\t"
        "movi   a12, 0\n\t"
        "movi   a13, 0\n"
        "1:\n\t"
        "l8ui   a14, a5, 0\n\t"
        "addi   a5, a5, 1\n\t"
        "add    a14, a14, a5\n\t"
        "l32i   a6, a3, 0\n\t"
        PRODUCT("a8", "0")
        PRODUCT("a9", "1")
        "j      3f\n"
        "2:\n\t"
        TERM("0", "0", "1")
        "3:\n\t"
        TERM("4", "2", "3")
        "addi   a3, a3, 8\n\t"
        "addi   a5, a5, 4\n\t"
        "bne    a5, a14, 2b\n\t"
        FINISH("a8", "a10", "a11")
        FINISH("a9", "a12", "a13")
        "bne    a3, a4, 1b\n\t"
        "s32i   a10, a2, 0\n\t"
        "s32i   a11, a2, 4\n\t"
        "s32i   a12, a2, 8\n\t"
        "s32i   a13, a2, 12\n\t"
        "mov    a2, a5\n\t"
        "l32i   a12, a1, 0\n\t"
        "l32i   a13, a1, 4\n\t"
        "l32i   a14, a1, 8\n\t"
        "l32i   a15, a1, 12\n\t"
        "addi   a1, a1, 16\n\t"
        "ret\n\t"
        ".size nn_scalar_sum_blocks, . - nn_scalar_sum_blocks\n\t"
        ".text");

#endif
