/* Convolution and dense layer of signs, portable C. SPDX-License-Identifier: Apache-2.0
 *
 * The sum over n products of signs is n - 2 * popcount(a ^ b). */
#include "nn_bin_conv.h"

#define NN_BIN_WORD uint32_t
#include "nn_bin_count.h"

/* Copies the words of the window at (y, x). Taps outside the image are copied from
 * pad_words or left out. Lists the runs of words that were copied, at most one a kernel
 * row; returns the end of the list. */
static struct nn_bin_run *gather(const struct nn_bin_conv *op, const uint32_t *in, int32_t y,
                          int32_t x, uint32_t *patch, struct nn_bin_run *runs)
{
    struct nn_bin_run *next = runs;
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

void nn_bin_conv_words(const struct nn_bin_conv *op, const uint32_t *patch,
                       const struct nn_bin_run *runs, const struct nn_bin_run *end,
                       int32_t signs, int32_t *acc)
{
    const int32_t words = op->kernel_h * op->kernel_w * op->in_words;
    const uint32_t *weights = op->weights;

    for (int32_t c = 0; c < op->out->channels; c++) {
        uint32_t differing = 0;

        for (const struct nn_bin_run *run = runs; run < end; run++) {
            differing += nn_bin_count_differences(patch + run->first, weights + run->first,
                                                  run->words);
        }
        acc[c] = signs - 2 * (int32_t)differing;
        weights += words;
    }
}

static void one_pixel(const struct nn_bin_conv *op, const uint32_t *in, int32_t y,
                      int32_t x, int32_t *acc)
{
    struct nn_bin_run *runs = (struct nn_bin_run *)(acc + op->sums);
    uint32_t *patch = (uint32_t *)(runs + op->kernel_h);
    const struct nn_bin_run *end = gather(op, in, y, x, patch, runs);
    int32_t signs = 0;

    for (const struct nn_bin_run *run = runs; run < end; run++) {
        signs += run->words / op->in_words * op->in_bits;
    }
    op->multiply(op, patch, runs, end, signs, acc);
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
