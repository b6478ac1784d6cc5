/* Convolution on MVE. SPDX-License-Identifier: Apache-2.0 */
#include "nn_mve_conv.h"

#define PIXELS NN_MVE_PRODUCT_PIXELS

/* All that the output pixel at input row `top`, column `left` sees. */
static void gather(const struct nn_mve_conv *op, const int8_t *image, int32_t top, int32_t left,
                   int8_t *to)
{
    const struct nn_window *const w = &op->window;
    const struct nn_window_span rows =
        nn_window_clip(top, w->in_h, w->filter_h, w->dilation_h);
    const struct nn_window_span taps =
        nn_window_clip(left, w->in_w, w->filter_w, w->dilation_w);
    const int32_t seen_rows = rows.last - rows.first;
    const int32_t seen_taps = taps.last - taps.first;
    const int is_run = w->dilation_w == 1; /* its taps lie side by side */
    const int8_t *from = image + (top + rows.first * w->dilation_h) * w->in_w * w->in_ch +
                         (left + taps.first * w->dilation_w) * w->in_ch;

    if (seen_rows < w->filter_h || seen_taps < w->filter_w) {
        nn_mve_fill(to, op->zero, op->column);
    }
    if (seen_rows <= 0 || seen_taps <= 0) {
        return;
    }
    to += rows.first * op->row + taps.first * w->in_ch;
    for (int32_t tap = 0; tap < (is_run ? 1 : seen_taps); tap++) {
        nn_mve_copy_rows(to, op->row, from, w->dilation_h * w->in_w * w->in_ch,
                         is_run ? seen_taps * w->in_ch : w->in_ch, seen_rows);
        to += w->in_ch;
        from += w->dilation_w * w->in_ch;
    }
}

/* Output pixels from x to `end` of the row whose window starts at input row `top`. */
static void border(const struct nn_mve_conv *op, nn_mve_product_fn *product, const int8_t *image,
                   int32_t top, int32_t x, int32_t end, int8_t *out, int8_t *scratch)
{
    const struct nn_window *const w = &op->window;

    while (x < end) {
        const int32_t count = end - x < PIXELS ? end - x : PIXELS;

        for (int32_t i = 0; i < count; i++) {
            gather(op, image, top, (x + i) * w->stride_w - w->pad_w, scratch + i * op->column);
        }
        product(&op->product, scratch, op->column, 0, out + x * w->out_ch, count);
        x += count;
    }
}

/* The output pixels of a row that see no padding to their left and right, from an even one and
 * an even number of them: what is beside them comes in pairs as well. */
static struct nn_window_span inside(const struct nn_window *w)
{
    const int32_t reach = (w->filter_w - 1) * w->dilation_w + 1;
    struct nn_window_span span = { 0, w->out_w };

    while (span.first * w->stride_w < w->pad_w && span.first < w->out_w) {
        span.first += PIXELS;
    }
    while (span.last > span.first &&
           (span.last - 1) * w->stride_w - w->pad_w + reach > w->in_w) {
        span.last--;
    }
    if (span.last < w->out_w) {
        span.last -= (span.last - span.first) % PIXELS;
    }
    return span;
}

void nn_mve_conv_s8(const struct nn_mve_conv *op, nn_mve_product_fn *product, const int8_t *in,
                    int8_t *out, int8_t *scratch)
{
    const struct nn_window *const w = &op->window;
    const struct nn_window_span columns = inside(w);
    const int32_t row_bytes = w->in_w * w->in_ch;
    const int32_t reach = (w->filter_h - 1) * w->dilation_h + 1;
    const int32_t step = w->stride_w * w->in_ch;
    const int32_t gap = w->dilation_h * row_bytes - op->row;

    for (int32_t batch = 0; batch < w->batches; batch++) {
        int32_t top = -w->pad_h;

        for (int32_t y = 0; y < w->out_h; y++) {
            if (!op->is_direct || top < 0 || top + reach > w->in_h ||
                columns.first >= columns.last) {
                border(op, product, in, top, 0, w->out_w, out, scratch);
            } else {
                const int8_t *const first =
                    in + top * row_bytes + columns.first * step - w->pad_w * w->in_ch;

                border(op, product, in, top, 0, columns.first, out, scratch);
                product(&op->product, first, step, gap, out + columns.first * w->out_ch,
                        columns.last - columns.first);
                border(op, product, in, top, columns.last, w->out_w, out, scratch);
            }
            out += w->out_w * w->out_ch;
            top += w->stride_h;
        }
        in += w->in_h * row_bytes;
    }
}
