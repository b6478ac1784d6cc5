/* Weights times columns: two sums in a word. SPDX-License-Identifier: Apache-2.0 */
#include "nn_scalar_sum.h"

#if defined(__riscv)
#include "nn_scalar_sum_riscv.h"
#define HAS_ASSEMBLY 1
#elif defined(__thumb2__)
#include "nn_scalar_sum_thumb2.h"
#define HAS_ASSEMBLY 1
#elif defined(__thumb__)
#include "nn_scalar_sum_thumb1.h"
#define HAS_ASSEMBLY 1
#elif defined(__xtensa__)
#include "nn_scalar_sum_xtensa.h"
#define HAS_ASSEMBLY 1
#else
#define HAS_ASSEMBLY 0
#endif

#define PAIRS NN_SCALAR_PAIRS
#define HALF 0x8000u  /* of the lower sum's range */

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 3")

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
INLINE const uint8_t *sum_groups(struct nn_scalar_sums *s, int32_t pairs, const uint32_t *x,
                                 const uint32_t *end, const uint8_t *w)
{
    *s = (struct nn_scalar_sums){ 0 };
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
            s->a[i].all += a[i];
            s->b[i].all += b[i];
            s->a[i].upper += (int32_t)(a[i] + HALF) >> 16;
            s->b[i].upper += (int32_t)(b[i] + HALF) >> 16;
        }
    } while (x != end);
    return w;
}

INLINE const uint8_t *sum(struct nn_scalar_sums *s, int32_t pairs, const uint32_t *x,
                          const uint32_t *end, const uint8_t *w)
{
#if HAS_ASSEMBLY
    if (pairs == PAIRS) {
        return nn_scalar_sum_blocks(s, x, end, w);
    }
#endif
    return sum_groups(s, pairs, x, end, w);
}

/* One channel of `count` pixels. */
INLINE void store(const struct nn_scalar_sum *sums, int32_t pairs, int32_t count,
                  const int32_t *words, int is_rectified, int32_t stride, int8_t *out)
{
    /* Loaded once: `out` may alias anything. */
    const int32_t channel[NN_SCALAR_WORDS] = { words[0], words[1], words[2], words[3] };

    UNROLL
    for (int32_t i = 0; i < pairs; i++) {
        const int32_t upper = sums[i].upper;
        const int32_t lower = (int32_t)(sums[i].all - ((uint32_t)upper << 16));

        *out = (int8_t)nn_scalar_requant(channel[0] + lower, channel, is_rectified);
        out += stride;
        if (i < pairs - 1 || 2 * pairs <= count) {
            *out = (int8_t)nn_scalar_requant(channel[0] + upper, channel, is_rectified);
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
        struct nn_scalar_sums s;

        w = sum(&s, pairs, columns, end, w);
        if (op->is_rectified) {
            store(s.a, pairs, count, channel, 1, stride, out);
            if (left > 1) {
                store(s.b, pairs, count, other, 1, stride, out + 1);
            }
        } else {
            store(s.a, pairs, count, channel, 0, stride, out);
            if (left > 1) {
                store(s.b, pairs, count, other, 0, stride, out + 1);
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
#if PAIRS > 2
    case 1:
        product(op, columns, 1, count, out);
        break;
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

/* The words of one pair. */
INLINE void pack(const int8_t *lower, const int8_t *upper, int32_t pairs, int32_t n,
                 uint32_t *to)
{
    for (; n >= 4; n -= 4, to += 4 * pairs, lower += 4, upper += 4) {
        to[0] = join(lower[0], upper[0]);
        to[pairs] = join(lower[1], upper[1]);
        to[2 * pairs] = join(lower[2], upper[2]);
        to[3 * pairs] = join(lower[3], upper[3]);
    }
    for (; n > 0; n--, to += pairs) {
        *to = join(*lower++, *upper++);
    }
}

uint32_t *nn_scalar_product_pack(const int8_t *const from[NN_SCALAR_PIXELS], int32_t pairs,
                                 int32_t n, uint32_t *columns)
{
    for (int32_t i = 0; i < pairs; i++) {
        if (pairs == PAIRS) {
            pack(from[2 * i], from[2 * i + 1], PAIRS, n, columns + i);
        } else {
            pack(from[2 * i], from[2 * i + 1], pairs, n, columns + i);
        }
    }
    return columns + n * pairs;
}
