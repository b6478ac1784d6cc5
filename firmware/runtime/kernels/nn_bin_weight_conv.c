/* Convolution and dense layer, int8 x signs. SPDX-License-Identifier: Apache-2.0
 *
 * Four inputs have sixteen signed sums. They are made once; every output channel looks
 * its own up by four bits of its weights. Two pixels share a table entry, 16 bits each: a
 * load and an add for eight products. A last pixel without partner is paired with itself.
 * Source: Wei et al., T-MAC: CPU Renaissance via Table Lookup (2024), section 3. */
#include "nn_bin_weight_conv.h"

/* Copies the int8 values of the window at (y, x); returns the end of them. */
static int8_t *gather(const struct nn_bin_weight_conv *op, const int8_t *in, int32_t y,
                      int32_t x, int8_t *patch)
{
    for (int32_t ky = 0; ky < op->kernel_h; ky++) {
        const int32_t in_y = y + ky * op->dilation_h;

        for (int32_t kx = 0; kx < op->kernel_w; kx++) {
            const int32_t in_x = x + kx * op->dilation_w;

            if (in_y >= 0 && in_y < op->in_h && in_x >= 0 && in_x < op->in_w) {
                const int8_t *pixel = in + (in_y * op->in_w + in_x) * op->in_depth;

                for (int32_t i = 0; i < op->in_depth; i++) {
                    *patch++ = pixel[i];
                }
            } else {
                for (int32_t i = 0; i < op->in_depth; i++) {
                    *patch++ = (int8_t)op->pad;
                }
            }
        }
    }
    return patch;
}

/* With the first two inputs added or subtracted. Not a loop with conditions: for MVE, gcc
 * 12.2 makes vectors of that with wrong predicates. */
static inline void sums_of_two(uint32_t base, const uint32_t *twice, uint32_t *sums)
{
    sums[0] = base;
    sums[1] = base - twice[0];
    sums[2] = base - twice[1];
    sums[3] = base - twice[0] - twice[1];
}

/* sums[m] of four inputs of two pixels: input j is subtracted where bit j of m is set.
 * The first pixel's sum plus 512, in [0, 1024], is the low half, the second's the high
 * half: arithmetic on both at once, as long as no low half leaves 16 bits. */
static void make_sums(const int8_t *first, const int8_t *second, uint32_t *sums)
{
    uint32_t twice[4];
    uint32_t base = 512;

    for (int32_t j = 0; j < 4; j++) {
        const uint32_t low = (uint32_t)(int32_t)first[j];
        const uint32_t both = ((uint32_t)(int32_t)second[j] << 16) + low;

        base += both;
        twice[j] = 2 * both;
    }
    sums_of_two(base, twice, sums);
    sums_of_two(base - twice[2], twice, sums + 4);
    sums_of_two(base - twice[3], twice, sums + 8);
    sums_of_two(base - twice[2] - twice[3], twice, sums + 12);
}

/* The sums of 32 products of two pixels: low half plus 8 * 512, at most 8192. */
static inline uint32_t look_up(const uint32_t *table, uint32_t word)
{
    return table[word & 15u] + table[16 + ((word >> 4) & 15u)] +
           table[32 + ((word >> 8) & 15u)] + table[48 + ((word >> 12) & 15u)] +
           table[64 + ((word >> 16) & 15u)] + table[80 + ((word >> 20) & 15u)] +
           table[96 + ((word >> 24) & 15u)] + table[112 + (word >> 28)];
}

/* One pair of patches, filled up with zeros to whole words: acc [2][channels]. */
static void two_pixels(const struct nn_bin_weight_conv *op, const int8_t *first,
                       const int8_t *second, uint32_t *table, int32_t *acc)
{
    const int32_t channels = op->out->channels;
    const uint32_t *weights = op->weights;

    for (int32_t c = 0; c < channels; c++) {
        acc[c] = -8 * 512 * op->words;
        acc[channels + c] = 0;
    }
    for (int32_t word = 0; word < op->words; word++) {
        for (int32_t group = 0; group < 8; group++) {
            make_sums(first, second, table + 16 * group);
            first += 4;
            second += 4;
        }
        for (int32_t c = 0; c < channels; c++) {
            const uint32_t sums = look_up(table, *weights++);

            acc[c] += (int32_t)(sums & 0xffffu);
            acc[channels + c] += (int32_t)sums >> 16;
        }
    }
}

void nn_bin_weight_conv(const struct nn_bin_weight_conv *op, const int8_t *in,
                        int32_t *scratch, void *out)
{
    const int32_t pixels = op->out_h * op->out_w;
    int32_t *acc = scratch;
    uint32_t *table = (uint32_t *)(acc + 2 * op->out->channels);
    int8_t *patches = (int8_t *)(table + NN_BIN_WEIGHT_CONV_TABLE);
    uint8_t *next = out;

    for (int32_t batch = 0; batch < op->batches; batch++) {
        for (int32_t pixel = 0; pixel < pixels; pixel += 2) {
            const int32_t count = pixels - pixel < 2 ? 1 : 2;
            int8_t *end = patches;

            for (int32_t i = 0; i < count; i++) {
                const int32_t y = (pixel + i) / op->out_w * op->stride_h - op->pad_top;
                const int32_t x = (pixel + i) % op->out_w * op->stride_w - op->pad_left;
                const int8_t *full = patches + (i + 1) * 32 * op->words;

                end = gather(op, in, y, x, end);
                while (end < full) {
                    *end++ = 0;
                }
            }
            two_pixels(op, patches, end - 32 * op->words, table, acc);
            for (int32_t i = 0; i < count; i++) {
                op->finish(op->out, acc + i * op->out->channels, next);
                next += op->out_bytes;
            }
        }
        in += op->in_h * op->in_w * op->in_depth;
    }
}
