/* Depthwise convolution of any window: where a pixel's taps lie is found once for all its
 * channels. SPDX-License-Identifier: Apache-2.0 */
#include "nn_scalar_depthwise_any.h"

#define INLINE static inline __attribute__((always_inline))
#define CHANNELS 4 /* at a time: their inputs and weights lie side by side */

/* The pixels under the filter, of the window at (top, left); `padding` where there is none. */
static void find(const struct nn_window *w, const int8_t *image, int32_t top, int32_t left,
                 const int8_t *padding, const int8_t **taps)
{
    const int32_t right = w->dilation_w * w->in_ch;

    for (int32_t i = 0; i < w->filter_h; i++, top += w->dilation_h) {
        const uint32_t columns = top >= 0 && top < w->in_h ? (uint32_t)w->in_w : 0;
        int32_t at = (top * w->in_w + left) * w->in_ch;
        int32_t x = left;

        for (int32_t j = 0; j < w->filter_w; j++, x += w->dilation_w, at += right) {
            *taps++ = (uint32_t)x < columns ? image + at : padding;
        }
    }
}

/* `count` channels of a pixel, from `channel` on. */
INLINE void run(const struct nn_scalar_depthwise_any *op, const int8_t *const *taps,
                int32_t channel, int32_t count, int is_short, int8_t *out)
{
    const int32_t step = op->window.out_ch;
    const int8_t *const *const end = taps + op->window.filter_h * op->window.filter_w;
    const int32_t *words = op->channels + channel * NN_SCALAR_WORDS;
    const int8_t *w = op->weights + channel;
    int32_t acc[CHANNELS];

    _Pragma("GCC unroll 4")
    for (int32_t c = 0; c < count; c++) {
        acc[c] = words[c * NN_SCALAR_WORDS];
    }
    for (; taps != end; taps++, w += step) {
        const int8_t *const x = *taps + channel;

        _Pragma("GCC unroll 4")
        for (int32_t c = 0; c < count; c++) {
            acc[c] += x[c] * w[c];
        }
    }
    _Pragma("GCC unroll 4")
    for (int32_t c = 0; c < count; c++) {
        out[channel + c] = (int8_t)nn_scalar_requant(acc[c], words, is_short);
        words += NN_SCALAR_WORDS;
    }
}

INLINE void run_pixel(const struct nn_scalar_depthwise_any *op, const int8_t *const *taps,
                      int is_short, int8_t *out)
{
    const int32_t channels = op->window.out_ch;
    int32_t channel = 0;

    for (; channels - channel >= CHANNELS; channel += CHANNELS) {
        run(op, taps, channel, CHANNELS, is_short, out);
    }
    for (; channel < channels; channel++) {
        run(op, taps, channel, 1, is_short, out);
    }
}

void nn_scalar_depthwise_any_s8(const struct nn_scalar_depthwise_any *op, const int8_t *in,
                                int8_t *out, void *scratch)
{
    const struct nn_window *const w = &op->window;
    const int8_t **const taps = scratch;
    int8_t *const padding = (int8_t *)(taps + w->filter_h * w->filter_w);
    int8_t *to = out;

    for (int32_t c = 0; c < w->in_ch; c++) {
        padding[c] = op->zero;
    }
    for (int32_t batch = 0; batch < w->batches; batch++) {
        for (int32_t y = 0; y < w->out_h; y++) {
            for (int32_t x = 0; x < w->out_w; x++) {
                find(w, in, y * w->stride_h - w->pad_h, x * w->stride_w - w->pad_w, padding,
                     taps);
                if (op->is_short) {
                    run_pixel(op, taps, 1, to);
                } else {
                    run_pixel(op, taps, 0, to);
                }
                to += w->out_ch;
            }
        }
        in += w->in_h * w->in_w * w->in_ch;
    }
    nn_scalar_clamp(out, (int32_t)(to - out), op->act_min, op->act_max);
}
