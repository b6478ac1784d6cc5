/* Convolution and dense layer of signs, portable C. SPDX-License-Identifier: Apache-2.0
 *
 * The sum over n products of signs is n - 2 * popcount(a ^ b). No microcontroller here has
 * a popcount instruction. Long runs go through carry-save adders: eight words become one
 * word of weight eight, and only its bits are counted (Harley and Seal's popcount; Warren,
 * Hacker's Delight, 2nd edition, section 5-1): 9 instructions a word on a Cortex-M4,
 * where counting every word takes 16. */
#include "nn_bin_conv.h"

#define BLOCK 8

/* A full adder on 32 columns at once: a + b + c == 2 * carry + sum. */
static inline uint32_t add_bits(uint32_t a, uint32_t b, uint32_t c, uint32_t *sum)
{
    const uint32_t half = a ^ b;

    *sum = half ^ c;
    return (a & b) | (half & c);
}

/* The set bits of each byte, at most 8. */
static inline uint32_t byte_counts(uint32_t x)
{
    x -= (x >> 1) & 0x55555555u;
    x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
    return (x + (x >> 4)) & 0x0f0f0f0fu;
}

/* The sum of four bytes, each up to 255. */
static inline uint32_t byte_sum(uint32_t x)
{
    x = (x & 0x00ff00ffu) + ((x >> 8) & 0x00ff00ffu);
    return (x + (x >> 16)) & 0xffffu;
}

/* The set bits of (a ^ b) & mask over n words; a null mask is all ones. Inlined twice,
 * once for a null mask, so that the common case has no test in its loops. */
static inline __attribute__((always_inline)) uint32_t differences(const uint32_t *a,
                                                                  const uint32_t *b,
                                                                  const uint32_t *mask,
                                                                  int32_t n)
{
#define WORD(i) ((a[i] ^ b[i]) & (mask ? mask[i] : 0xffffffffu))
    uint32_t total = 0;

    /* Less than two blocks would not pay for counting ones, twos and fours at the end. */
    if (n >= 2 * BLOCK) {
        uint32_t ones = 0;
        uint32_t twos = 0;
        uint32_t fours = 0;

        do {
            /* At most 31 blocks: no byte of the sum passes 31 * 8 = 248. */
            int32_t blocks = n < 32 * BLOCK ? n / BLOCK : 31;
            uint32_t eights = 0;

            n -= blocks * BLOCK;
            do {
                uint32_t low = add_bits(ones, WORD(0), WORD(1), &ones);
                uint32_t high = add_bits(ones, WORD(2), WORD(3), &ones);
                const uint32_t first = add_bits(twos, low, high, &twos);

                low = add_bits(ones, WORD(4), WORD(5), &ones);
                high = add_bits(ones, WORD(6), WORD(7), &ones);
                low = add_bits(twos, low, high, &twos);
                eights += byte_counts(add_bits(fours, first, low, &fours));
                a += BLOCK;
                b += BLOCK;
                if (mask) {
                    mask += BLOCK;
                }
            } while (--blocks > 0);
            total += 8 * byte_sum(eights);
        } while (n >= BLOCK);
        /* Each byte is at most 8 + 16 + 32. */
        total += byte_sum(byte_counts(ones) + 2 * byte_counts(twos) +
                          4 * byte_counts(fours));
    }
    if (n > 0) {
        uint32_t bytes = 0;

        /* At most 15 words: bytes up to 120. */
        for (int32_t i = 0; i < n; i++) {
            bytes += byte_counts(WORD(i));
        }
        total += byte_sum(bytes);
    }
    return total;
#undef WORD
}

static inline int is_inside(const struct nn_bin_conv *op, int32_t y, int32_t x)
{
    return y >= 0 && y < op->in_h && x >= 0 && x < op->in_w;
}

/* Copies the words of the window at (y, x); returns how many taps lie in the image. */
static int32_t gather(const struct nn_bin_conv *op, const uint32_t *in, int32_t y,
                      int32_t x, uint32_t *patch)
{
    int32_t inside = 0;

    for (int32_t ky = 0; ky < op->kernel_h; ky++) {
        const int32_t in_y = y + ky * op->dilation_h;

        for (int32_t kx = 0; kx < op->kernel_w; kx++) {
            const int32_t in_x = x + kx * op->dilation_w;
            const uint32_t *tap = op->pad_words;

            if (is_inside(op, in_y, in_x)) {
                tap = in + (in_y * op->in_w + in_x) * op->in_words;
                inside++;
            }
            for (int32_t i = 0; i < op->in_words; i++) {
                *patch++ = tap ? tap[i] : 0;
            }
        }
    }
    return inside;
}

/* All ones for the taps inside the image, zero for the others. */
static void make_mask(const struct nn_bin_conv *op, int32_t y, int32_t x, uint32_t *mask)
{
    for (int32_t ky = 0; ky < op->kernel_h; ky++) {
        for (int32_t kx = 0; kx < op->kernel_w; kx++) {
            const int32_t in_y = y + ky * op->dilation_h;
            const int32_t in_x = x + kx * op->dilation_w;
            const uint32_t bits = is_inside(op, in_y, in_x) ? 0xffffffffu : 0;

            for (int32_t i = 0; i < op->in_words; i++) {
                *mask++ = bits;
            }
        }
    }
}

static void one_pixel(const struct nn_bin_conv *op, const uint32_t *in, int32_t y,
                      int32_t x, int32_t *acc)
{
    const int32_t taps = op->kernel_h * op->kernel_w;
    const int32_t n = taps * op->in_words;
    const uint32_t *weights = op->weights;
    uint32_t *patch = (uint32_t *)(acc + op->out->channels);
    const int32_t inside = gather(op, in, y, x, patch);

    if (inside == taps || op->pad_words) {
        const int32_t all = taps * op->in_bits;

        for (int32_t c = 0; c < op->out->channels; c++) {
            acc[c] = all - 2 * (int32_t)differences(patch, weights, 0, n);
            weights += n;
        }
    } else {
        const int32_t all = inside * op->in_bits;
        uint32_t *mask = patch + n;

        make_mask(op, y, x, mask);
        for (int32_t c = 0; c < op->out->channels; c++) {
            acc[c] = all - 2 * (int32_t)differences(patch, weights, mask, n);
            weights += n;
        }
    }
}

void nn_bin_conv(const struct nn_bin_conv *op, const uint32_t *in, int32_t *scratch,
                 void *out)
{
    uint8_t *next = out;

    for (int32_t batch = 0; batch < op->batches; batch++) {
        for (int32_t y = 0; y < op->out_h; y++) {
            for (int32_t x = 0; x < op->out_w; x++) {
                one_pixel(op, in, y * op->stride_h - op->pad_top,
                          x * op->stride_w - op->pad_left, scratch);
                op->finish(op->out, scratch, next);
                next += op->out_bytes;
            }
        }
        in += op->in_h * op->in_w * op->in_words;
    }
}
