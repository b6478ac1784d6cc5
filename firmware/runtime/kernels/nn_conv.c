/* Convolution, portable C. SPDX-License-Identifier: Apache-2.0 */
#include "nn_conv.h"

#include "nn_dot.h"
#include "nn_requant.h"

/* What one output pixel sees, padding left out: rows of runs of contiguous bytes, in the
 * input and in every filter alike. */
struct patch {
    const int8_t *in;
    int32_t filter;             /* offset of the first run in a filter */
    int32_t rows;
    int32_t in_row;             /* bytes from row to row */
    int32_t filter_row;
    int32_t runs;
    int32_t in_run;             /* bytes from run to run */
    int32_t length;             /* of a run; in a filter, runs adjoin */
};

static struct patch see(const struct nn_conv *op, const int8_t *image, int32_t y,
                        int32_t x)
{
    const struct nn_window *const w = &op->window;
    const int32_t filter_ch = w->in_ch / op->groups;
    const int32_t top = y * w->stride_h - w->pad_h;
    const int32_t left = x * w->stride_w - w->pad_w;
    const struct nn_window_span rows =
        nn_window_clip(top, w->in_h, w->filter_h, w->dilation_h);
    const struct nn_window_span columns =
        nn_window_clip(left, w->in_w, w->filter_w, w->dilation_w);
    const int32_t in_y = top + rows.first * w->dilation_h;
    const int32_t in_x = left + columns.first * w->dilation_w;
    const int32_t taps = columns.last - columns.first;
    const int is_solid = w->dilation_w == 1 && op->groups == 1;

    return (struct patch){
        .in = image + (in_y * w->in_w + in_x) * w->in_ch,
        .filter = (rows.first * w->filter_w + columns.first) * filter_ch,
        .rows = taps > 0 ? rows.last - rows.first : 0,
        .in_row = w->dilation_h * w->in_w * w->in_ch,
        .filter_row = w->filter_w * filter_ch,
        .runs = is_solid ? 1 : taps,
        .in_run = w->dilation_w * w->in_ch,
        .length = is_solid ? taps * filter_ch : filter_ch,
    };
}

/* Apart from its caller, whose variables would push the inner loop's out of the
 * registers. */
static __attribute__((noinline)) struct nn_dot_pair
sum_pair(const struct patch *patch, const int8_t *in, int32_t offset, const int8_t *wa,
         const int8_t *wb, struct nn_dot_pair acc)
{
    for (int32_t row = 0; row < patch->rows; row++) {
        const int8_t *x = in + row * patch->in_row;
        int32_t at = patch->filter + row * patch->filter_row;

        for (int32_t run = 0; run < patch->runs; run++) {
            acc = nn_dot_pair_s8(acc, x, offset, wa + at, wb + at, patch->length);
            x += patch->in_run;
            at += patch->length;
        }
    }
    return acc;
}

static void pixel(const struct nn_conv *op, const struct patch *patch, int8_t *out)
{
    const struct nn_window *const w = &op->window;
    const int32_t filter_ch = w->in_ch / op->groups;
    const int32_t filter_bytes = w->filter_h * w->filter_w * filter_ch;
    const int32_t per_group = w->out_ch / op->groups;

    for (int32_t group = 0; group < op->groups; group++) {
        const int8_t *const in = patch->in + group * filter_ch;
        const int32_t end = (group + 1) * per_group;

        for (int32_t channel = group * per_group; channel < end; channel += 2) {
            /* An odd last channel runs beside itself. */
            const int32_t other = channel + 1 < end ? channel + 1 : channel;
            const int8_t *const wa = op->weights + channel * filter_bytes;
            const int8_t *const wb = op->weights + other * filter_bytes;
            struct nn_dot_pair acc = { 0, 0 };

            if (op->bias) {
                acc.a = op->bias[channel];
                acc.b = op->bias[other];
            }
            acc = sum_pair(patch, in, op->in_offset, wa, wb, acc);
            out[channel] =
                nn_requant_s8(acc.a, op->multipliers[channel], op->shifts[channel],
                              op->out_offset, op->act_min, op->act_max);
            out[other] = nn_requant_s8(acc.b, op->multipliers[other], op->shifts[other],
                                       op->out_offset, op->act_min, op->act_max);
        }
    }
}

void nn_conv_s8(const struct nn_conv *op, const int8_t *in, int8_t *out)
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
