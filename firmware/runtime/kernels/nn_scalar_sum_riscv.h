/* nn_scalar_product's inner loop in RV32IM. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_SCALAR_SUM_RISCV_H
#define NN_SCALAR_SUM_RISCV_H

#include "nn_scalar_sum.h"

/* A pair of pixels into both channels' sums. */
#define BEGIN(a, b, at)                    \
    "lw     %[x], " at "(%[column])\n\t"   \
    "mul    %[" a "], %[x], %[wa]\n\t"     \
    "mul    %[" b "], %[x], %[wb]\n\t"

#define ADD(a, b, at)                      \
    "lw     %[x], " at "(%[column])\n\t"   \
    "mul    %[t], %[x], %[wa]\n\t"         \
    "mul    %[x], %[x], %[wb]\n\t"         \
    "add    %[" a "], %[" a "], %[t]\n\t"  \
    "add    %[" b "], %[" b "], %[x]\n\t"

#define WEIGHTS(a, b)                      \
    "lb     %[wa], " a "(%[w])\n\t"        \
    "lb     %[wb], " b "(%[w])\n\t"

#define FINISH(a, all, upper)                        \
    "add    %[" all "], %[" all "], %[" a "]\n\t"    \
    "add    %[" a "], %[" a "], %[x]\n\t"            \
    "srai   %[" a "], %[" a "], 16\n\t"              \
    "add    %[" upper "], %[" upper "], %[" a "]\n\t"

/* sum_groups of NN_SCALAR_PAIRS. All but one of the registers there are: the compiler, left to
 * itself, moves a third of them to memory and back in every group. */
static inline const uint8_t *nn_scalar_sum_blocks(struct nn_scalar_sums *s,
                                                  const uint32_t *x, const uint32_t *end,
                                                  const uint8_t *w)
{
    uint32_t a0, a1, a2, b0, b1, b2, wa, wb, t0, t1;
    uint32_t all_a0, all_a1, all_a2, all_b0, all_b1, all_b2;
    uint32_t upper_a0, upper_a1, upper_a2, upper_b0, upper_b1, upper_b2;
    const uint8_t *stop;

    __asm__ volatile(
        "li     %[pa0], 0\n\t"
        "li     %[pa1], 0\n\t"
        "li     %[pa2], 0\n\t"
        "li     %[pb0], 0\n\t"
        "li     %[pb1], 0\n\t"
        "li     %[pb2], 0\n\t"
        "li     %[qa0], 0\n\t"
        "li     %[qa1], 0\n\t"
        "li     %[qa2], 0\n\t"
        "li     %[qb0], 0\n\t"
        "li     %[qb1], 0\n\t"
        "li     %[qb2], 0\n"
        "1:\n\t"
        "lbu    %[stop], 0(%[w])\n\t"
        WEIGHTS("1", "2")
        BEGIN("a0", "b0", "0")
        BEGIN("a1", "b1", "4")
        BEGIN("a2", "b2", "8")
        "addi   %[w], %[w], 1\n\t"
        "add    %[stop], %[stop], %[w]\n\t"
        "j      3f\n"
        "2:\n\t"
        WEIGHTS("0", "1")
        ADD("a0", "b0", "0")
        ADD("a1", "b1", "4")
        ADD("a2", "b2", "8")
        "3:\n\t"
        WEIGHTS("2", "3")
        "addi   %[w], %[w], 4\n\t"
        ADD("a0", "b0", "12")
        ADD("a1", "b1", "16")
        ADD("a2", "b2", "20")
        "addi   %[column], %[column], 24\n\t"
        "bne    %[w], %[stop], 2b\n\t"
        "lui    %[x], 8\n\t" /* HALF */
        FINISH("a0", "pa0", "qa0")
        FINISH("a1", "pa1", "qa1")
        FINISH("a2", "pa2", "qa2")
        FINISH("b0", "pb0", "qb0")
        FINISH("b1", "pb1", "qb1")
        FINISH("b2", "pb2", "qb2")
        "bne    %[column], %[end], 1b\n\t"
        "sw     %[pa0], 0(%[s])\n\t"
        "sw     %[pa1], 8(%[s])\n\t"
        "sw     %[pa2], 16(%[s])\n\t"
        "sw     %[pb0], 24(%[s])\n\t"
        "sw     %[pb1], 32(%[s])\n\t"
        "sw     %[pb2], 40(%[s])\n\t"
        "sw     %[qa0], 4(%[s])\n\t"
        "sw     %[qa1], 12(%[s])\n\t"
        "sw     %[qa2], 20(%[s])\n\t"
        "sw     %[qb0], 28(%[s])\n\t"
        "sw     %[qb1], 36(%[s])\n\t"
        "sw     %[qb2], 44(%[s])"
        : [a0] "=&r"(a0), [a1] "=&r"(a1), [a2] "=&r"(a2), [b0] "=&r"(b0), [b1] "=&r"(b1),
          [b2] "=&r"(b2), [pa0] "=&r"(all_a0), [pa1] "=&r"(all_a1), [pa2] "=&r"(all_a2),
          [pb0] "=&r"(all_b0), [pb1] "=&r"(all_b1), [pb2] "=&r"(all_b2),
          [qa0] "=&r"(upper_a0), [qa1] "=&r"(upper_a1), [qa2] "=&r"(upper_a2),
          [qb0] "=&r"(upper_b0), [qb1] "=&r"(upper_b1), [qb2] "=&r"(upper_b2),
          [wa] "=&r"(wa), [wb] "=&r"(wb), [x] "=&r"(t0), [t] "=&r"(t1), [stop] "=&r"(stop),
          [column] "+r"(x), [w] "+r"(w)
        : [end] "r"(end), [s] "r"(s)
        : "memory");
    return w;
}

#endif
