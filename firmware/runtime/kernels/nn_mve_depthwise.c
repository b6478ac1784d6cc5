/* Depthwise convolution on MVE. SPDX-License-Identifier: Apache-2.0 */
#include "nn_mve_depthwise.h"

#define ROWS NN_MVE_DEPTHWISE_ROWS
#define PIXELS NN_MVE_DEPTHWISE_PIXELS

/* The parts of the scratch. */
struct words {
    int8_t *first;
    int32_t plane;      /* bytes */
    int8_t *zeros;      /* a row of the input's zero point */
};

/* The words of the columns beside the input; or only of those to its right, where a row's last
 * vector reached over them. */
static void pad(const struct nn_mve_depthwise *op, int8_t *plane, int is_whole)
{
    const struct nn_window *const w = &op->window;
    const int32_t left = 4 * w->pad_w * w->in_ch;
    const int32_t end = left + 4 * w->in_w * w->in_ch;

    if (is_whole) {
        nn_mve_fill(plane, op->zero, left);
    }
    nn_mve_fill(plane + end, op->zero, 4 * op->columns * w->in_ch - end);
}

/* The words that a row of outputs sees, or two, the first row in its window being `top`. */
static void gather(const struct nn_mve_depthwise *op, const int8_t *in, int32_t top,
                   const struct words *words)
{
    const struct nn_window *const w = &op->window;
    const int32_t bytes = w->in_w * w->in_ch;
    const int32_t rows = w->filter_h + op->is_tall;
    int8_t *plane = words->first;

    for (int32_t first = 0; first < rows; first += ROWS, plane += words->plane) {
        const int8_t *from[ROWS];

        for (int32_t i = 0; i < ROWS; i++) {
            const int32_t tap = first + i < rows ? first + i : rows - 1;
            const int32_t y = top + tap * w->dilation_h;

            from[i] = y >= 0 && y < w->in_h ? in + y * bytes : words->zeros;
        }
        if (rows - first >= ROWS) {
            nn_mve_interleave(plane + 4 * w->pad_w * w->in_ch, from, bytes, 1);
        } else {
            nn_mve_interleave(plane + 4 * w->pad_w * w->in_ch, from, bytes, 0);
        }
        if (bytes % NN_MVE_LANES) {
            pad(op, plane, 0);
        }
    }
}

/* A row of outputs, or two; in a row the last of an odd number is made with the one before, once
 * more. */
static void multiply(const struct nn_mve_depthwise *op, nn_mve_depthwise_fn *pairs,
                     const int8_t *words, int8_t *out)
{
    const struct nn_window *const w = &op->window;

    if (op->is_tall) {
        pairs(op, words, out, w->out_w);
        return;
    }
    if (w->out_w >= PIXELS) {
        pairs(op, words, out, w->out_w / PIXELS);
    }
    if (w->out_w % PIXELS) {
        const int32_t x = w->out_w >= PIXELS ? w->out_w - PIXELS : 0;

        pairs(op, words + 4 * x * op->apart, out + x * w->out_ch, 1);
    }
}

void nn_mve_depthwise_s8(const struct nn_mve_depthwise *op, nn_mve_depthwise_fn *pairs,
                         const int8_t *in, int8_t *out, int8_t *scratch)
{
    const struct nn_window *const w = &op->window;
    const int32_t rows = op->is_tall ? PIXELS : 1; /* of outputs at a time */
    const int32_t planes = (w->filter_h + ROWS - 1) / ROWS;
    const int32_t plane = 4 * op->columns * w->in_ch + NN_MVE_DEPTHWISE_SLACK;
    const struct words words = { scratch, plane, scratch + planes * plane };

    if (w->pad_h > 0 || (w->out_h - 1) * w->stride_h - w->pad_h +
                                (w->filter_h - 1) * w->dilation_h + 1 > w->in_h) {
        nn_mve_fill(words.zeros, op->zero, w->in_w * w->in_ch);
    }
    for (int32_t i = 0; i < planes; i++) {
        pad(op, scratch + i * plane, 1);
    }
    for (int32_t batch = 0; batch < w->batches; batch++) {
        for (int32_t y = 0; y < w->out_h; y += rows) {
            const int32_t first = y + rows <= w->out_h ? y : w->out_h - rows;

            gather(op, in, first * w->stride_h - w->pad_h, &words);
            multiply(op, pairs, scratch, out + first * w->out_w * w->out_ch);
        }
        in += w->in_h * w->in_w * w->in_ch;
        out += w->out_h * w->out_w * w->out_ch;
    }
}
