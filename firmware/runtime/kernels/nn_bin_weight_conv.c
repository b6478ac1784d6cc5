/* Convolution and dense layer, int8 x signs. SPDX-License-Identifier: Apache-2.0
 *
 * Four inputs have sixteen signed sums. They are made once a pixel; every output channel
 * looks its own up by four bits of its weights: a load and an add for four products.
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

/* sums[m] of four inputs: input j is subtracted where bit j of m is set. |sum| <= 512. */
static void make_sums(const int8_t *in, int16_t *sums)
{
    const int32_t base = in[0] + in[1] + in[2] + in[3];

    for (int32_t high = 0; high < 4; high++) {
        int32_t sum = base;

        if (high & 1) {
            sum -= 2 * in[2];
        }
        if (high & 2) {
            sum -= 2 * in[3];
        }
        sums[0] = (int16_t)sum;
        sums[1] = (int16_t)(sum - 2 * in[0]);
        sums[2] = (int16_t)(sum - 2 * in[1]);
        sums[3] = (int16_t)(sum - 2 * in[0] - 2 * in[1]);
        sums += 4;
    }
}

/* The table's eight groups lie 16 entries apart; constant offsets after inlining. */
static inline int32_t look_up(const int16_t *table, uint32_t word)
{
    return table[word & 15u] + table[16 + ((word >> 4) & 15u)] +
           table[32 + ((word >> 8) & 15u)] + table[48 + ((word >> 12) & 15u)] +
           table[64 + ((word >> 16) & 15u)] + table[80 + ((word >> 20) & 15u)] +
           table[96 + ((word >> 24) & 15u)] + table[112 + (word >> 28)];
}

void nn_bin_weight_conv(const struct nn_bin_weight_conv *op, const int8_t *in,
                        int32_t *scratch, void *out)
{
    const int32_t channels = op->out->channels;
    int32_t *acc = scratch;
    int16_t *table = (int16_t *)(acc + channels);
    int8_t *patch = (int8_t *)(table + NN_BIN_WEIGHT_CONV_TABLE);
    uint8_t *next = out;

    for (int32_t batch = 0; batch < op->batches; batch++) {
        for (int32_t pixel = 0; pixel < op->out_h * op->out_w; pixel++) {
            const int32_t y = pixel / op->out_w * op->stride_h - op->pad_top;
            const int32_t x = pixel % op->out_w * op->stride_w - op->pad_left;
            const uint32_t *weights = op->weights;
            int8_t *end = gather(op, in, y, x, patch);

            for (int32_t c = 0; c < channels; c++) {
                acc[c] = 0;
            }
            for (const int8_t *values = patch; values < end; values += 32) {
                /* The last word's missing inputs are zeros. */
                while (end - values < 32) {
                    *end++ = 0;
                }
                for (int32_t group = 0; group < 8; group++) {
                    make_sums(values + 4 * group, table + 16 * group);
                }
                for (int32_t c = 0; c < channels; c++) {
                    acc[c] += look_up(table, *weights++);
                }
            }
            op->finish(op->out, acc, next);
            next += op->out_bytes;
        }
        in += op->in_h * op->in_w * op->in_depth;
    }
}
