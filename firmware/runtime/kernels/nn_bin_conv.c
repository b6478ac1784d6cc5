/* Convolution and dense layer of signs, portable C. SPDX-License-Identifier: Apache-2.0
 *
 * The sum over n products of signs is n - 2 * popcount(a ^ b). No microcontroller here
 * has a popcount instruction. Long runs go through carry-save adders: eight words become
 * one word of weight eight, and only its bits are counted (Harley and Seal's popcount;
 * Warren, Hacker's Delight, 2nd edition, section 5-1): 9 instructions a word on a
 * Cortex-M4, where counting every word takes 16. */
#include "nn_bin_conv.h"

#define BLOCK 8

/* A full adder on 32 columns at once: a + b + c == 2 * carry + sum. */
static inline uint32_t add_bits(uint32_t a, uint32_t b, uint32_t c, uint32_t *sum)
{
    const uint32_t half = a ^ b;

    *sum = half ^ c;
    return (a & b) | (half & c);
}

/* The set bits of each nibble, at most 4. */
static inline uint32_t nibble_counts(uint32_t x)
{
    x -= (x >> 1) & 0x55555555u;
    return (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
}

/* The set bits of each byte, at most 8. */
static inline uint32_t byte_counts(uint32_t x)
{
    x = nibble_counts(x);
    return (x + (x >> 4)) & 0x0f0f0f0fu;
}

/* The sum of four bytes, each up to 255. */
static inline uint32_t byte_sum(uint32_t x)
{
    x = (x & 0x00ff00ffu) + ((x >> 8) & 0x00ff00ffu);
    return (x + (x >> 16)) & 0xffffu;
}

/* The set bits of a ^ b over n words. */
static inline uint32_t differences(const uint32_t *a, const uint32_t *b, int32_t n)
{
    uint32_t total = 0;
    uint32_t bytes = 0;

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
                uint32_t low = add_bits(ones, a[0] ^ b[0], a[1] ^ b[1], &ones);
                uint32_t high = add_bits(ones, a[2] ^ b[2], a[3] ^ b[3], &ones);
                const uint32_t first = add_bits(twos, low, high, &twos);

                low = add_bits(ones, a[4] ^ b[4], a[5] ^ b[5], &ones);
                high = add_bits(ones, a[6] ^ b[6], a[7] ^ b[7], &ones);
                low = add_bits(twos, low, high, &twos);
                eights += byte_counts(add_bits(fours, first, low, &fours));
                a += BLOCK;
                b += BLOCK;
            } while (--blocks > 0);
            total += 8 * byte_sum(eights);
        } while (n >= BLOCK);
        bytes = byte_counts(ones) + 2 * byte_counts(twos) + 4 * byte_counts(fours);
    }
    /* Three words at a time, then one. Bytes reach 8 + 16 + 32 and 15 * 8 at most. */
    for (; n >= 3; n -= 3) {
        uint32_t ones;
        const uint32_t twos = add_bits(a[0] ^ b[0], a[1] ^ b[1], a[2] ^ b[2], &ones);
        const uint32_t nibbles = nibble_counts(ones) + 2 * nibble_counts(twos);

        bytes += (nibbles & 0x0f0f0f0fu) + ((nibbles >> 4) & 0x0f0f0f0fu);
        a += 3;
        b += 3;
    }
    for (; n > 0; n--) {
        bytes += byte_counts(*a++ ^ *b++);
    }
    return total + byte_sum(bytes);
}

/* Words of the patch that lie in the image, in a line. */
struct run {
    int32_t first;
    int32_t words;
};

/* Copies the words of the window at (y, x). Taps outside the image are copied from
 * pad_words or left out. Lists the runs of words that were copied, at most one a kernel
 * row; returns the end of the list. */
static struct run *gather(const struct nn_bin_conv *op, const uint32_t *in, int32_t y,
                          int32_t x, uint32_t *patch, struct run *runs)
{
    struct run *next = runs;
    int32_t at = 0;

    for (int32_t ky = 0; ky < op->kernel_h; ky++) {
        const int32_t in_y = y + ky * op->dilation_h;

        for (int32_t kx = 0; kx < op->kernel_w; kx++) {
            const int32_t in_x = x + kx * op->dilation_w;
            const uint32_t *tap = op->pad_words;

            if (in_y >= 0 && in_y < op->in_h && in_x >= 0 && in_x < op->in_w) {
                tap = in + (in_y * op->in_w + in_x) * op->in_words;
            }
            if (tap) {
                if (next == runs || next[-1].first + next[-1].words != at) {
                    next->first = at;
                    next->words = 0;
                    next++;
                }
                for (int32_t i = 0; i < op->in_words; i++) {
                    patch[at + i] = tap[i];
                }
                next[-1].words += op->in_words;
            }
            at += op->in_words;
        }
    }
    return next;
}

static void one_pixel(const struct nn_bin_conv *op, const uint32_t *in, int32_t y,
                      int32_t x, int32_t *acc)
{
    const int32_t words = op->kernel_h * op->kernel_w * op->in_words;
    struct run *runs = (struct run *)(acc + op->out->channels);
    uint32_t *patch = (uint32_t *)(runs + op->kernel_h);
    const struct run *end = gather(op, in, y, x, patch, runs);
    const uint32_t *weights = op->weights;
    int32_t signs = 0;

    for (const struct run *run = runs; run < end; run++) {
        signs += run->words / op->in_words * op->in_bits;
    }
    for (int32_t c = 0; c < op->out->channels; c++) {
        uint32_t differing = 0;

        for (const struct run *run = runs; run < end; run++) {
            differing +=
                differences(patch + run->first, weights + run->first, run->words);
        }
        acc[c] = signs - 2 * (int32_t)differing;
        weights += words;
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
