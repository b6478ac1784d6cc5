/* Transposed convolution, portable C. SPDX-License-Identifier: Apache-2.0 */
#include "nn_transpose_conv.h"

#include "nn_dot.h"
#include "nn_requant.h"

/* The taps that reach one output along one axis: tap, tap + stride, ... each from the
 * input before the last one's. */
struct reach {
    int32_t tap;
    int32_t in;
    int32_t count;
};

/* `at` is the output's place in the uncut output. */
static struct reach find(int32_t at, int32_t in_size, int32_t taps, int32_t stride)
{
    int32_t in = at / stride;
    int32_t tap = at - in * stride;

    if (in >= in_size) {
        tap += (in - in_size + 1) * stride;
        in = in_size - 1;
    }
    const int32_t fitting = tap < taps ? (taps - tap + stride - 1) / stride : 0;

    return (struct reach){ tap, in, fitting < in + 1 ? fitting : in + 1 };
}

/* Apart from its caller, whose variables would push the inner loop's out of the
 * registers. */
static __attribute__((noinline)) struct nn_dot_pair
sum_pair(const struct nn_transpose_conv *op, const int8_t *image, struct reach rows,
         struct reach columns, const int8_t *wa, const int8_t *wb, struct nn_dot_pair acc)
{
    const struct nn_window *const w = &op->window;

    for (int32_t r = 0; r < rows.count; r++) {
        const int32_t in_y = rows.in - r;
        const int32_t tap_y = rows.tap + r * w->stride_h;
        const int8_t *x = image + (in_y * w->in_w + columns.in) * w->in_ch;
        int32_t at = (tap_y * w->filter_w + columns.tap) * w->in_ch;

        for (int32_t c = 0; c < columns.count; c++) {
            acc = nn_dot_pair_s8(acc, x, op->in_offset, wa + at, wb + at, w->in_ch);
            x -= w->in_ch;
            at += w->stride_w * w->in_ch;
        }
    }
    return acc;
}

static void pixel(const struct nn_transpose_conv *op, const int8_t *image,
                  struct reach rows, struct reach columns, int8_t *out)
{
    const struct nn_window *const w = &op->window;
    const int32_t filter_bytes = w->filter_h * w->filter_w * w->in_ch;

    for (int32_t channel = 0; channel < w->out_ch; channel += 2) {
        /* An odd last channel runs beside itself. */
        const int32_t other = channel + 1 < w->out_ch ? channel + 1 : channel;
        struct nn_dot_pair acc = { 0, 0 };

        if (op->bias) {
            acc.a = op->bias[channel];
            acc.b = op->bias[other];
        }
        acc = sum_pair(op, image, rows, columns, op->weights + channel * filter_bytes,
                       op->weights + other * filter_bytes, acc);
        out[channel] = nn_requant_s8(acc.a, op->multipliers[channel], op->shifts[channel],
                                     op->out_offset, op->act_min, op->act_max);
        out[other] = nn_requant_s8(acc.b, op->multipliers[other], op->shifts[other],
                                   op->out_offset, op->act_min, op->act_max);
    }
}

void nn_transpose_conv_s8(const struct nn_transpose_conv *op, const int8_t *in,
                          int8_t *out)
{
    const struct nn_window *const w = &op->window;

    for (int32_t batch = 0; batch < w->batches; batch++) {
        for (int32_t y = 0; y < w->out_h; y++) {
            const struct reach rows =
                find(y + w->pad_h, w->in_h, w->filter_h, w->stride_h);

            for (int32_t x = 0; x < w->out_w; x++) {
                pixel(op, in, rows, find(x + w->pad_w, w->in_w, w->filter_w, w->stride_w),
                      out);
                out += w->out_ch;
            }
        }
        in += w->in_h * w->in_w * w->in_ch;
    }
}
