/* Depthwise convolution, portable C. SPDX-License-Identifier: Apache-2.0 */
#include "nn_depthwise.h"

#include "nn_requant.h"

#define BLOCK 4

/* What one output pixel sees, padding left out. */
struct patch {
    const int8_t *in;
    const int8_t *weights;
    int32_t rows;
    int32_t columns;
    int32_t in_row;             /* bytes from row to row */
    int32_t in_column;
    int32_t filter_row;
    int32_t filter_column;
};

static struct patch see(const struct nn_depthwise *op, const int8_t *image, int32_t y,
                        int32_t x)
{
    const struct nn_window *const w = &op->window;
    const int32_t top = y * w->stride_h - w->pad_h;
    const int32_t left = x * w->stride_w - w->pad_w;
    const struct nn_window_span rows =
        nn_window_clip(top, w->in_h, w->filter_h, w->dilation_h);
    const struct nn_window_span columns =
        nn_window_clip(left, w->in_w, w->filter_w, w->dilation_w);
    const int32_t in_y = top + rows.first * w->dilation_h;
    const int32_t in_x = left + columns.first * w->dilation_w;

    return (struct patch){
        .in = image + (in_y * w->in_w + in_x) * w->in_ch,
        .weights = op->weights + (rows.first * w->filter_w + columns.first) * w->out_ch,
        .rows = rows.last - rows.first,
        .columns = columns.last - columns.first,
        .in_row = w->dilation_h * w->in_w * w->in_ch,
        .in_column = w->dilation_w * w->in_ch,
        .filter_row = w->filter_w * w->out_ch,
        .filter_column = w->out_ch,
    };
}

static int8_t finish(const struct nn_depthwise *op, int32_t channel, int32_t acc)
{
    if (op->bias) {
        acc += op->bias[channel];
    }
    return nn_requant_s8(acc, op->multipliers[channel], op->shifts[channel],
                         op->out_offset, op->act_min, op->act_max);
}

static void one(const struct nn_depthwise *op, const struct patch *patch,
                int32_t in_channel, int32_t channel, int8_t *out)
{
    int32_t acc = 0;

    for (int32_t row = 0; row < patch->rows; row++) {
        const int8_t *x = patch->in + row * patch->in_row + in_channel;
        const int8_t *w = patch->weights + row * patch->filter_row + channel;

        for (int32_t column = 0; column < patch->columns; column++) {
            acc += (*x + op->in_offset) * *w;
            x += patch->in_column;
            w += patch->filter_column;
        }
    }
    *out = finish(op, channel, acc);
}

/* BLOCK channels at once, depth multiplier 1: their taps share the loop and its
 * addresses. Apart from its caller, whose variables would push these out of the
 * registers. */
static __attribute__((noinline)) void block(const struct nn_depthwise *op,
                                            const struct patch *patch, int32_t channel,
                                            int8_t *out)
{
    const int32_t offset = op->in_offset;
    int32_t acc0 = 0;
    int32_t acc1 = 0;
    int32_t acc2 = 0;
    int32_t acc3 = 0;

    for (int32_t row = 0; row < patch->rows; row++) {
        const int8_t *x = patch->in + row * patch->in_row + channel;
        const int8_t *w = patch->weights + row * patch->filter_row + channel;

        for (int32_t column = 0; column < patch->columns; column++) {
            acc0 += (x[0] + offset) * w[0];
            acc1 += (x[1] + offset) * w[1];
            acc2 += (x[2] + offset) * w[2];
            acc3 += (x[3] + offset) * w[3];
            x += patch->in_column;
            w += patch->filter_column;
        }
    }
    out[0] = finish(op, channel, acc0);
    out[1] = finish(op, channel + 1, acc1);
    out[2] = finish(op, channel + 2, acc2);
    out[3] = finish(op, channel + 3, acc3);
}

static void pixel(const struct nn_depthwise *op, const struct patch *patch, int8_t *out)
{
    int32_t channel = 0;

    if (op->depth_multiplier == 1) {
        for (; channel + BLOCK <= op->window.out_ch; channel += BLOCK) {
            block(op, patch, channel, out + channel);
        }
    }
    /* Here channel is 0, or the depth multiplier is 1: both are the input channel. */
    for (int32_t in_channel = channel; in_channel < op->window.in_ch; in_channel++) {
        for (int32_t m = 0; m < op->depth_multiplier; m++, channel++) {
            one(op, patch, in_channel, channel, out + channel);
        }
    }
}

void nn_depthwise_s8(const struct nn_depthwise *op, const int8_t *in, int8_t *out)
{
    const struct nn_window *const w = &op->window;

    for (int32_t batch = 0; batch < w->batches; batch++) {
        for (int32_t y = 0; y < w->out_h; y++) {
            for (int32_t x = 0; x < w->out_w; x++) {
                const struct patch patch = see(op, in, y, x);

                pixel(op, &patch, out);
                out += w->out_ch;
            }
        }
        in += w->in_h * w->in_w * w->in_ch;
    }
}
