/* A window that slides over NHWC: geometry of convolutions and pools.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_WINDOW_H
#define NN_WINDOW_H

#include <stdint.h>

/* Mirrors graph/ops/window.py. Every field > 0 except the paddings, >= 0. */
struct nn_window {
    int32_t batches;
    int32_t in_h;
    int32_t in_w;
    int32_t in_ch;
    int32_t out_h;
    int32_t out_w;
    int32_t out_ch;
    int32_t filter_h;
    int32_t filter_w;
    int32_t stride_h;
    int32_t stride_w;
    int32_t dilation_h;
    int32_t dilation_w;
    int32_t pad_h;              /* rows above the input, columns to its left */
    int32_t pad_w;
};

/* The filter taps first <= t < last that fall inside the input; none if first >= last. */
struct nn_window_span {
    int32_t first;
    int32_t last;
};

/* One axis: tap t lies at origin + t * dilation of an input of `size`. */
static inline struct nn_window_span nn_window_clip(int32_t origin, int32_t size,
                                                   int32_t taps, int32_t dilation)
{
    struct nn_window_span span = { 0, taps };

    /* Loops, not divisions: they run at the borders only, a filter's length at most. */
    for (int32_t at = origin; at < 0 && span.first < taps; at += dilation) {
        span.first++;
    }
    for (int32_t at = origin + (taps - 1) * dilation; at >= size && span.last > 0;
         at -= dilation) {
        span.last--;
    }
    return span;
}

#endif
