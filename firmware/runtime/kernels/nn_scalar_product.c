/* Weights times columns: three sums in two words. SPDX-License-Identifier: Apache-2.0 */
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

#define TRIPLES  NN_SCALAR_TRIPLES
#define CHANNELS NN_SCALAR_CHANNELS
#define PIXELS   NN_SCALAR_PIXELS

/* Pixels x, y and z are the words x + z * 2^21 and y + z * 2^10, modulo 2^32, and so are their
 * sums. None of these takes more than FIELD bits: z's lower bits are in the first word, with
 * them its upper ones in the second. */
#define FIELD 21
#define LOWER (32 - FIELD) /* bits of z in the first word */
#define UPPER (FIELD - LOWER)
/* Makes a sum positive: what each starts at, in both words. */
#define HALF   (1u << (FIELD - 1))
#define FIRST  HALF /* HALF << FIELD is 0 modulo 2^32 */
#define SECOND (HALF + (HALF << UPPER))

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 6")

/* Adds a chunk to s, until its columns end; s->of[0] holds where the sums start. Returns where
 * the weights of the next chunk begin. */
INLINE const uint8_t *sum_terms(struct nn_scalar_sums *s, int32_t words, const uint32_t *x,
                                const uint32_t *end, const uint8_t *w)
{
    struct nn_scalar_sums sums;

    UNROLL
    for (int32_t c = 0; c < CHANNELS; c++) {
        UNROLL
        for (int32_t i = 0; i < words; i++) {
            sums.of[c][i] = s->of[0][i];
        }
    }
    for (; x != end; x += words, w += CHANNELS) {
        UNROLL
        for (int32_t c = 0; c < CHANNELS; c++) {
            UNROLL
            for (int32_t i = 0; i < words; i++) {
                sums.of[c][i] += x[i] * w[c];
            }
        }
    }
    *s = sums;
    return w;
}

INLINE const uint8_t *sum(struct nn_scalar_sums *s, int32_t words, const uint32_t *start,
                          const uint32_t *x, const uint32_t *end, const uint8_t *w)
{
    UNROLL
    for (int32_t i = 0; i < words; i++) {
        s->of[0][i] = start[i];
    }
#if HAS_ASSEMBLY
    if (words == 2 * TRIPLES) {
        return nn_scalar_sum_blocks(s, x, end, w);
    }
#endif
    return sum_terms(s, words, x, end, w);
}

/* The three sums of two words, each HALF more. */
INLINE void part(const uint32_t word[2], int32_t sums[3])
{
    const uint32_t lower = word[0] >> FIELD;
    const uint32_t rest = word[1] - (lower << UPPER);

    sums[0] = (int32_t)(word[0] << LOWER >> LOWER);
    sums[1] = (int32_t)(rest << LOWER >> LOWER);
    sums[2] = (int32_t)((rest >> FIELD << LOWER) | lower);
}

/* Adds a chunk's sums to those of the chunks before it, if it is not the first. */
INLINE void carry(const struct nn_scalar_sums *s, int32_t triples, int is_first,
                  int32_t before[CHANNELS][PIXELS])
{
    for (int32_t c = 0; c < CHANNELS; c++) {
        for (int32_t i = 0; i < triples; i++) {
            int32_t sums[3];

            part(&s->of[c][2 * i], sums);
            for (int32_t j = 0; j < 3; j++) {
                before[c][3 * i + j] = sums[j] + (is_first ? 0 : before[c][3 * i + j]);
            }
        }
    }
}

/* One channel of `count` pixels; `before`: what its earlier chunks add up to. */
INLINE void store(const uint32_t *words, int32_t triples, int32_t count,
                  const int32_t *before, const int32_t *from, int is_short,
                  int32_t stride, int8_t *out)
{
    /* Loaded once: `out` may alias anything. */
    const int32_t channel[NN_SCALAR_WORDS] = { from[0], from[1], from[2], from[3] };

    UNROLL
    for (int32_t i = 0; i < 3 * triples; i += 3) {
        int32_t sums[3];

        part(words, sums);
        words += 2;
        UNROLL
        for (int32_t j = 0; j < 3; j++) {
            if (i + j > 3 * triples - 3 && i + j >= count) {
                return;
            }
            const int32_t acc = channel[0] + sums[j] + before[i + j];

            *out = (int8_t)nn_scalar_requant(acc, channel, is_short);
            out += stride;
        }
    }
}

/* Where the words of each chunk start: weights are 128 too much. */
INLINE void make_starts(const struct nn_scalar_product *op, const uint32_t *x, int32_t words,
                        uint32_t *starts)
{
    for (int32_t left = op->depth; left > 0; left -= op->chunk, starts += words) {
        const uint32_t *const end = x + words * (left < op->chunk ? left : op->chunk);
        uint32_t all[2 * TRIPLES] = { 0 };

        for (; x != end; x += words) {
            UNROLL
            for (int32_t i = 0; i < words; i++) {
                all[i] += x[i];
            }
        }
        UNROLL
        for (int32_t i = 0; i < words; i += 2) {
            starts[i] = FIRST - all[i] * 128;
            starts[i + 1] = SECOND - all[i + 1] * 128;
        }
    }
}

INLINE void product(const struct nn_scalar_product *op, uint32_t *columns, int32_t triples,
                    int32_t count, int8_t *out)
{
    const int32_t words = 2 * triples;
    uint32_t *const end = columns + op->depth * words;
    const int32_t chunk = op->chunk * words;
    const int32_t stride = op->out_ch;
    const int32_t *channel = op->channels;
    const uint8_t *w = op->weights;
    int32_t before[CHANNELS][PIXELS] = { { 0 } };

    make_starts(op, columns, words, end);
    for (int32_t left = stride; left > 0; left -= CHANNELS) {
        const uint32_t *start = end;
        const uint32_t *x = columns;
        struct nn_scalar_sums s;

        for (; end - x > chunk; x += chunk, start += words) {
            w = sum(&s, words, start, x, x + chunk, w);
            carry(&s, triples, x == columns, before);
        }
        w = sum(&s, words, start, x, end, w);
        for (int32_t c = 0; c < CHANNELS && c < left; c++, channel += NN_SCALAR_WORDS) {
            if (op->is_short) {
                store(s.of[c], triples, count, before[c], channel, 1, stride, out++);
            } else {
                store(s.of[c], triples, count, before[c], channel, 0, stride, out++);
            }
        }
    }
}

void nn_scalar_product_s8(const struct nn_scalar_product *op, uint32_t *columns,
                          int32_t count, int8_t *out)
{
    if (TRIPLES == 1 || nn_scalar_product_triples(count) == TRIPLES) {
        product(op, columns, TRIPLES, count, out);
    } else {
        product(op, columns, 1, count, out);
    }
}

/* The words of one triple. */
INLINE void pack(const int8_t *const from[3], int32_t stride, int32_t n, uint32_t *to)
{
    const int8_t *x = from[0];
    const int8_t *y = from[1];
    const int8_t *z = from[2];

    _Pragma("GCC unroll 4")
    for (; n > 0; n--, to += stride) {
        const uint32_t upper = (uint32_t)*z++;

        to[0] = (uint32_t)*x++ + (upper << FIELD);
        to[1] = (uint32_t)*y++ + (upper << UPPER);
    }
}

uint32_t *nn_scalar_product_pack(const int8_t *const from[PIXELS], int32_t triples, int32_t n,
                                 uint32_t *columns)
{
    const int32_t words = 2 * triples;

    for (int32_t i = 0; i < triples; i++) {
        if (triples == TRIPLES) {
            pack(from + 3 * i, 2 * TRIPLES, n, columns + 2 * i);
        } else {
            pack(from + 3 * i, words, n, columns + 2 * i);
        }
    }
    return columns + n * words;
}
