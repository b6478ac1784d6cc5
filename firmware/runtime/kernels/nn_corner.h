/* Where the windows of output pixels start, and the runs of bytes they see.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_CORNER_H
#define NN_CORNER_H

#include "nn_window.h"

/* The window's first row and column in its image; outside where it is padded. */
struct nn_corner {
    const int8_t *image;
    int32_t top;
    int32_t left;
};

/* To the next output pixel, in the order they lie. */
static inline void nn_corner_step(const struct nn_window *w, struct nn_corner *corner)
{
    corner->left += w->stride_w;
    if (corner->left < w->out_w * w->stride_w - w->pad_w) {
        return;
    }
    corner->left = -w->pad_w;
    corner->top += w->stride_h;
    if (corner->top < w->out_h * w->stride_h - w->pad_h) {
        return;
    }
    corner->top = -w->pad_h;
    corner->image += w->in_h * w->in_w * w->in_ch;
}

/* What the window sees in its row `down` rows below the corner, for dilation_w 1: filter_w
 * pixels. Where that shows padding it is made up in `made`, `zero` for padding. */
static inline const int8_t *nn_corner_run(const struct nn_window *w,
                                          const struct nn_corner *corner, int32_t down,
                                          int8_t zero, int8_t *made)
{
    const int32_t y = corner->top + down;
    const int32_t bytes = w->filter_w * w->in_ch;
    const int32_t row_bytes = w->in_w * w->in_ch;
    const int32_t start = corner->left * w->in_ch;
    const int8_t *const row = corner->image + y * row_bytes;
    const int is_row = y >= 0 && y < w->in_h;

    if (is_row && start >= 0 && start + bytes <= row_bytes) {
        return row + start;
    }
    for (int32_t i = 0; i < bytes; i++) {
        const int32_t at = start + i;

        made[i] = is_row && at >= 0 && at < row_bytes ? row[at] : zero;
    }
    return made;
}

#endif
