/* nn_scalar_product's inner loop in RV32IM. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_SCALAR_SUM_RISCV_H
#define NN_SCALAR_SUM_RISCV_H

#include "nn_scalar_sum.h"

#define START(at, a, b, c, d)                \
    "lw     %[" a "], " at "(%[s])\n\t"      \
    "mv     %[" b "], %[" a "]\n\t"          \
    "mv     %[" c "], %[" a "]\n\t"          \
    "mv     %[" d "], %[" a "]\n\t"

#define ADD(sum, w)                          \
    "mul    %[t], %[x], %[" w "]\n\t"        \
    "add    %[" sum "], %[" sum "], %[t]\n\t"

/* A word into the sums of four channels. */
#define WORD(at, a, b, c, d)                 \
    "lw     %[x], " at "(%[column])\n\t"     \
    ADD(a, "wa") ADD(b, "wb") ADD(c, "wc") ADD(d, "wd")

#define INPUT(a, b, c, d, x0, x1, x2, x3)    \
    "lbu    %[wa], " a "(%[w])\n\t"          \
    "lbu    %[wb], " b "(%[w])\n\t"          \
    "lbu    %[wc], " c "(%[w])\n\t"          \
    "lbu    %[wd], " d "(%[w])\n\t"          \
    WORD(x0, "a0", "b0", "c0", "d0")         \
    WORD(x1, "a1", "b1", "c1", "d1")         \
    WORD(x2, "a2", "b2", "c2", "d2")         \
    WORD(x3, "a3", "b3", "c3", "d3")

/* sum_terms of NN_SCALAR_TRIPLES: the compiler, left to itself, moves sums to memory and back. */
static inline const uint8_t *nn_scalar_sum_blocks(struct nn_scalar_sums *s,
                                                  const uint32_t *x, const uint32_t *end,
                                                  const uint8_t *w)
{
    uint32_t a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3;
    uint32_t wa, wb, wc, wd, word, t;

    __asm__ volatile(
        START("0", "a0", "b0", "c0", "d0")
        START("4", "a1", "b1", "c1", "d1")
        START("8", "a2", "b2", "c2", "d2")
        START("12", "a3", "b3", "c3", "d3")
        "1:\n\t"
        INPUT("0", "1", "2", "3", "0", "4", "8", "12")
        INPUT("4", "5", "6", "7", "16", "20", "24", "28")
        INPUT("8", "9", "10", "11", "32", "36", "40", "44")
        INPUT("12", "13", "14", "15", "48", "52", "56", "60")
        "addi   %[column], %[column], 64\n\t"
        "addi   %[w], %[w], 16\n\t"
        "bne    %[column], %[end], 1b"
        : [a0] "=&r"(a0), [a1] "=&r"(a1), [a2] "=&r"(a2), [a3] "=&r"(a3), [b0] "=&r"(b0),
          [b1] "=&r"(b1), [b2] "=&r"(b2), [b3] "=&r"(b3), [c0] "=&r"(c0), [c1] "=&r"(c1),
          [c2] "=&r"(c2), [c3] "=&r"(c3), [d0] "=&r"(d0), [d1] "=&r"(d1), [d2] "=&r"(d2),
          [d3] "=&r"(d3), [wa] "=&r"(wa), [wb] "=&r"(wb), [wc] "=&r"(wc), [wd] "=&r"(wd),
          [x] "=&r"(word), [t] "=&r"(t), [column] "+r"(x), [w] "+r"(w)
        : [end] "r"(end), [s] "r"(s)
        : "memory");
    *s = (struct nn_scalar_sums){
        { { a0, a1, a2, a3 }, { b0, b1, b2, b3 }, { c0, c1, c2, c3 }, { d0, d1, d2, d3 } }
    };
    return w;
}

#endif
