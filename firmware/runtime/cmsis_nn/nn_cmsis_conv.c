/* Convolution as a matrix product of CMSIS-NN. SPDX-License-Identifier: Apache-2.0 */
#include "nn_cmsis_conv.h"

#include "arm_nnsupportfunctions.h"

static void fill(int8_t *to, int8_t value, int32_t bytes)
{
    if (bytes > 0) {
        memset(to, value, (size_t)bytes);
    }
}

/* Runs are a few words long: a call of memcpy would take longer than the copy. */
static inline void copy(int8_t *to, const int8_t *from, int32_t bytes)
{
#if defined(ARM_MATH_MVEI)
    arm_memcpy_s8(to, from, (uint32_t)bytes);
#else
    for (; bytes >= 4; bytes -= 4) {
        arm_nn_write_s8x4_ia(&to, arm_nn_read_s8x4_ia(&from));
        __asm__ volatile(""); /* or the compiler makes it a memcpy again */
    }
    for (; bytes > 0; bytes--) {
        *to++ = *from++;
        __asm__ volatile("");
    }
#endif
}

/* What the taps at columns left, left + dilation_w, ... see of one input row. */
static void gather_row(const struct nn_window *w, const int8_t *row, int32_t left,
                       struct nn_window_span taps, int8_t zero, int8_t *to)
{
    fill(to, zero, taps.first * w->in_ch);
    if (w->dilation_w == 1) {
        copy(to + taps.first * w->in_ch, row + (left + taps.first) * w->in_ch,
             (taps.last - taps.first) * w->in_ch);
    } else {
        for (int32_t tap = taps.first; tap < taps.last; tap++) {
            copy(to + tap * w->in_ch, row + (left + tap * w->dilation_w) * w->in_ch, w->in_ch);
        }
    }
    fill(to + taps.last * w->in_ch, zero, (w->filter_w - taps.last) * w->in_ch);
}

/* All that the output pixel at input row `top`, column `left` sees. */
static void gather(const struct nn_window *w, const int8_t *image, int32_t top, int32_t left,
                   int8_t zero, int8_t *to)
{
    const int32_t row_bytes = w->filter_w * w->in_ch;
    const struct nn_window_span rows =
        nn_window_clip(top, w->in_h, w->filter_h, w->dilation_h);
    const struct nn_window_span taps =
        nn_window_clip(left, w->in_w, w->filter_w, w->dilation_w);
    const int is_whole = taps.first == 0 && taps.last == w->filter_w && w->dilation_w == 1;
    const int32_t step = w->dilation_h * w->in_w * w->in_ch;
    const int8_t *row = image + (top + rows.first * w->dilation_h) * w->in_w * w->in_ch;

    fill(to, zero, rows.first * row_bytes);
    to += rows.first * row_bytes;
    for (int32_t tap = rows.first; tap < rows.last; tap++) {
        if (is_whole) {
            copy(to, row + left * w->in_ch, row_bytes);
        } else {
            gather_row(w, row, left, taps, zero, to);
        }
        row += step;
        to += row_bytes;
    }
    fill(to, zero, (w->filter_h - rows.last) * row_bytes);
}

static int8_t *multiply(const struct nn_cmsis_conv *op, const int8_t *columns, int32_t count,
                        int8_t *out)
{
    const int32_t out_ch = op->window.out_ch;
    const cmsis_nn_context none = { NULL, 0 };
    const cmsis_nn_dims in_dims = { 1, 1, count, op->depth };
    const cmsis_nn_dims filter_dims = { out_ch, 1, 1, op->depth };
    const cmsis_nn_dims bias_dims = { 1, 1, 1, out_ch };
    const cmsis_nn_dims out_dims = { 1, 1, count, out_ch };

    (void)arm_convolve_1x1_s8_fast(&none, &op->params, &op->quant, &in_dims, columns,
                                   &filter_dims, op->weights, &bias_dims, op->bias, &out_dims,
                                   out);
    return out + count * out_ch;
}

void nn_cmsis_conv_s8(const struct nn_cmsis_conv *op, const int8_t *in, int8_t *out,
                      int8_t *scratch)
{
    const struct nn_window *const w = &op->window;
    const int8_t zero = (int8_t)-op->params.input_offset;
    int32_t filled = 0;

    for (int32_t batch = 0; batch < w->batches; batch++) {
        int32_t top = -w->pad_h;

        for (int32_t y = 0; y < w->out_h; y++) {
            int32_t left = -w->pad_w;

            for (int32_t x = 0; x < w->out_w; x++) {
                gather(w, in, top, left, zero, scratch + filled * op->depth);
                left += w->stride_w;
                filled++;
                if (filled == op->columns) {
                    out = multiply(op, scratch, filled, out);
                    filled = 0;
                }
            }
            top += w->stride_h;
        }
        in += w->in_h * w->in_w * w->in_ch;
    }
    if (filled > 0) {
        (void)multiply(op, scratch, filled, out);
    }
}
