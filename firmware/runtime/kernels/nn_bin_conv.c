/* Convolution and dense layer of signs, portable C. SPDX-License-Identifier: Apache-2.0
 *
 * The sum over n products of signs is n - 2 * popcount(a ^ b). No microcontroller here has a
 * popcount instruction: bits are counted side by side in the word's fields (Warren, Hacker's
 * Delight, 2nd edition, section 5-1). */
#include "nn_bin_conv.h"

/* Sums per byte, each at most 8. */
static inline uint32_t byte_counts(uint32_t x)
{
    x -= (x >> 1) & 0x55555555u;
    x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
    return (x + (x >> 4)) & 0x0f0f0f0fu;
}

/* Sum of four bytes; they may reach 255 each. */
static inline uint32_t byte_sum(uint32_t x)
{
    x = (x & 0x00ff00ffu) + ((x >> 8) & 0x00ff00ffu);
    return (x + (x >> 16)) & 0xffffu;
}

static int32_t differences(const uint32_t *a, const uint32_t *b, int32_t n)
{
    uint32_t total = 0;

    while (n > 0) {
        /* At most 31 words: no byte of the sum passes 31 * 8 = 248. */
        int32_t run = n < 31 ? n : 31;
        uint32_t bytes = 0;

        n -= run;
        do {
            bytes += byte_counts(*a++ ^ *b++);
        } while (--run > 0);
        total += byte_sum(bytes);
    }
    return (int32_t)total;
}

static int32_t masked_differences(const uint32_t *a, const uint32_t *b, const uint32_t *mask,
                                  int32_t n)
{
    uint32_t total = 0;

    for (int32_t i = 0; i < n; i++) {
        total += byte_sum(byte_counts((a[i] ^ b[i]) & mask[i]));
    }
    return (int32_t)total;
}

static inline int is_inside(const struct nn_bin_conv *op, int32_t y, int32_t x)
{
    return y >= 0 && y < op->in_h && x >= 0 && x < op->in_w;
}

/* Copies the words of the window at (y, x); returns how many of its taps lie in the image. */
static int32_t gather(const struct nn_bin_conv *op, const uint32_t *in, int32_t y, int32_t x,
                      uint32_t *patch)
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
            const int inside = is_inside(op, y + ky * op->dilation_h, x + kx * op->dilation_w);

            for (int32_t i = 0; i < op->in_words; i++) {
                *mask++ = inside ? 0xffffffffu : 0;
            }
        }
    }
}

static void one_pixel(const struct nn_bin_conv *op, const uint32_t *in, int32_t y, int32_t x,
                      int32_t *acc)
{
    const int32_t taps = op->kernel_h * op->kernel_w;
    const int32_t n = taps * op->in_words;
    const uint32_t *weights = op->weights;
    uint32_t *patch = (uint32_t *)(acc + op->out->channels);
    const int32_t inside = gather(op, in, y, x, patch);

    if (inside == taps || op->pad_words) {
        const int32_t all = taps * op->in_bits;

        for (int32_t c = 0; c < op->out->channels; c++) {
            acc[c] = all - 2 * differences(patch, weights, n);
            weights += n;
        }
    } else {
        const int32_t all = inside * op->in_bits;
        uint32_t *mask = patch + n;

        make_mask(op, y, x, mask);
        for (int32_t c = 0; c < op->out->channels; c++) {
            acc[c] = all - 2 * masked_differences(patch, weights, mask, n);
            weights += n;
        }
    }
}

void nn_bin_conv(const struct nn_bin_conv *op, const uint32_t *in, int32_t *scratch, void *out)
{
    uint8_t *next = out;

    for (int32_t batch = 0; batch < op->batches; batch++) {
        for (int32_t y = 0; y < op->out_h; y++) {
            for (int32_t x = 0; x < op->out_w; x++) {
                one_pixel(op, in, y * op->stride_h - op->pad_top, x * op->stride_w - op->pad_left,
                          scratch);
                op->finish(op->out, scratch, next);
                next += op->out_bytes;
            }
        }
        in += op->in_h * op->in_w * op->in_words;
    }
}
