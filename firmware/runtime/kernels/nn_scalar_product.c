/* Weights times columns: two sums in a word. SPDX-License-Identifier: Apache-2.0 */
#include "nn_scalar_product.h"

#define PAIRS NN_SCALAR_PAIRS
#define HALF 0x8000u  /* of the lower sum's range */

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 3")

/* Sums of two channels by pairs of pixels: all that was added, and the upper sums alone. */
struct sums {
    uint32_t all_a[PAIRS];
    uint32_t all_b[PAIRS];
    int32_t upper_a[PAIRS];
    int32_t upper_b[PAIRS];
};

/* A weight as a number modulo 2^32. */
INLINE uint32_t widen(uint8_t w)
{
    return (uint32_t)(int8_t)w;
}

/* The first input of a group, and the next ones. */
INLINE void begin(uint32_t *a, uint32_t *b, int32_t pairs, const uint32_t *x,
                  const uint8_t *w)
{
    const uint32_t wa = widen(w[0]);
    const uint32_t wb = widen(w[1]);

    UNROLL
    for (int32_t i = 0; i < pairs; i++) {
        a[i] = x[i] * wa;
        b[i] = x[i] * wb;
    }
}

INLINE void add(uint32_t *a, uint32_t *b, int32_t pairs, const uint32_t *x, const uint8_t *w)
{
    const uint32_t wa = widen(w[0]);
    const uint32_t wb = widen(w[1]);

    UNROLL
    for (int32_t i = 0; i < pairs; i++) {
        a[i] += x[i] * wa;
        b[i] += x[i] * wb;
    }
}

/* Adds all groups, until the columns end; returns where the weights of the next channels
 * begin. */
INLINE const uint8_t *sum_groups(struct sums *s, int32_t pairs, const uint32_t *x,
                                 const uint32_t *end, const uint8_t *w)
{
    *s = (struct sums){ { 0 }, { 0 }, { 0 }, { 0 } };
    do {
        const uint8_t *const stop = w + 1 + *w;
        uint32_t a[PAIRS];
        uint32_t b[PAIRS];

        w++;
        begin(a, b, pairs, x, w);
        add(a, b, pairs, x + pairs, w + 2);
        for (x += 2 * pairs, w += 4; w != stop; x += 2 * pairs, w += 4) {
            add(a, b, pairs, x, w);
            add(a, b, pairs, x + pairs, w + 2);
        }
        UNROLL
        for (int32_t i = 0; i < pairs; i++) {
            s->all_a[i] += a[i];
            s->all_b[i] += b[i];
            s->upper_a[i] += (int32_t)(a[i] + HALF) >> 16;
            s->upper_b[i] += (int32_t)(b[i] + HALF) >> 16;
        }
    } while (x != end);
    return w;
}

#if defined(__riscv) && PAIRS == 3

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

/* sum_groups of three pairs. All but one of the registers there are: the compiler, left to
 * itself, moves a third of them to memory and back in every group. */
static const uint8_t *sum_groups_3(struct sums *s, const uint32_t *x, const uint32_t *end,
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
        "sw     %[pa1], 4(%[s])\n\t"
        "sw     %[pa2], 8(%[s])\n\t"
        "sw     %[pb0], 12(%[s])\n\t"
        "sw     %[pb1], 16(%[s])\n\t"
        "sw     %[pb2], 20(%[s])\n\t"
        "sw     %[qa0], 24(%[s])\n\t"
        "sw     %[qa1], 28(%[s])\n\t"
        "sw     %[qa2], 32(%[s])\n\t"
        "sw     %[qb0], 36(%[s])\n\t"
        "sw     %[qb1], 40(%[s])\n\t"
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

INLINE const uint8_t *sum(struct sums *s, int32_t pairs, const uint32_t *x,
                          const uint32_t *end, const uint8_t *w)
{
#if defined(__riscv) && PAIRS == 3
    if (pairs == PAIRS) {
        return sum_groups_3(s, x, end, w);
    }
#endif
    return sum_groups(s, pairs, x, end, w);
}

/* One channel of `count` pixels. */
INLINE void store(const uint32_t *all, const int32_t *upper, int32_t pairs, int32_t count,
                  const int32_t *words, int is_rectified, int32_t stride, int8_t *out)
{
    /* Loaded once: `out` may alias anything. */
    const int32_t channel[NN_SCALAR_WORDS] = { words[0], words[1], words[2], words[3] };

    UNROLL
    for (int32_t i = 0; i < pairs; i++) {
        const int32_t lower = (int32_t)(all[i] - ((uint32_t)upper[i] << 16));

        *out = (int8_t)nn_scalar_requant(channel[0] + lower, channel, is_rectified);
        out += stride;
        if (i < pairs - 1 || 2 * pairs <= count) {
            *out = (int8_t)nn_scalar_requant(channel[0] + upper[i], channel, is_rectified);
            out += stride;
        }
    }
}

INLINE void product(const struct nn_scalar_product *op, const uint32_t *columns,
                    int32_t pairs, int32_t count, int8_t *out)
{
    const uint32_t *const end = columns + op->depth * pairs;
    const int32_t stride = op->out_ch;
    const int32_t *channel = op->channels;
    const uint8_t *w = op->weights;

    for (int32_t left = stride; left > 0; left -= 2) {
        const int32_t *const other = channel + NN_SCALAR_WORDS;
        struct sums s;

        w = sum(&s, pairs, columns, end, w);
        if (op->is_rectified) {
            store(s.all_a, s.upper_a, pairs, count, channel, 1, stride, out);
            if (left > 1) {
                store(s.all_b, s.upper_b, pairs, count, other, 1, stride, out + 1);
            }
        } else {
            store(s.all_a, s.upper_a, pairs, count, channel, 0, stride, out);
            if (left > 1) {
                store(s.all_b, s.upper_b, pairs, count, other, 0, stride, out + 1);
            }
        }
        channel += 2 * NN_SCALAR_WORDS;
        out += 2;
    }
}

void nn_scalar_product_s8(const struct nn_scalar_product *op, const uint32_t *columns,
                          int32_t count, int8_t *out)
{
    switch (nn_scalar_product_pairs(count)) {
    case 1:
        product(op, columns, 1, count, out);
        break;
#if PAIRS > 2
    case 2:
        product(op, columns, 2, count, out);
        break;
#endif
    default:
        product(op, columns, PAIRS, count, out);
        break;
    }
}

static inline uint32_t join(int32_t lower, int32_t upper)
{
    return (uint32_t)lower + ((uint32_t)upper << 16);
}

uint32_t *nn_scalar_product_pack(const int8_t *const from[NN_SCALAR_PIXELS], int32_t pairs,
                                 int32_t n, uint32_t *columns)
{
    for (int32_t i = 0; i < pairs; i++) {
        const int8_t *lower = from[2 * i];
        const int8_t *upper = from[2 * i + 1];
        uint32_t *to = columns + i;
        int32_t left = n;

        for (; left >= 4; left -= 4, lower += 4, upper += 4) {
            *to = join(lower[0], upper[0]);
            to += pairs;
            *to = join(lower[1], upper[1]);
            to += pairs;
            *to = join(lower[2], upper[2]);
            to += pairs;
            *to = join(lower[3], upper[3]);
            to += pairs;
        }
        for (; left > 0; left--, to += pairs) {
            *to = join(*lower++, *upper++);
        }
    }
    return columns + n * pairs;
}
