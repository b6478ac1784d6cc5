/* Convolution for cores with packed 16-bit products. SPDX-License-Identifier: Apache-2.0 */
#include "nn_tuned_conv.h"

#define PIXELS NN_TUNED_PRODUCT_PIXELS

/* Where the window of an output pixel starts; outside the image where it is padded. */
struct corner {
    const int8_t *image;
    int32_t top;
    int32_t left;
};

/* n bytes, by words while they last. */
static inline void copy(int8_t *to, const int8_t *from, int32_t n)
{
    for (; n >= 4; n -= 4, to += 4, from += 4) {
        memcpy(to, from, 4);
        __asm__ volatile(""); /* or the compiler calls memcpy for the loop */
    }
    for (; n > 0; n--) {
        *to++ = *from++;
        __asm__ volatile("");
    }
}

static inline void fill(int8_t *to, int8_t value, int32_t n)
{
    const uint32_t four = (uint8_t)value * 0x01010101u;

    for (; n >= 4; n -= 4, to += 4) {
        memcpy(to, &four, 4);
        __asm__ volatile("");
    }
    for (; n > 0; n--) {
        *to++ = value;
        __asm__ volatile("");
    }
}

/* What the window sees of input row y, from column `left` on: filter_w * in_ch bytes. */
static void make_run(const struct nn_tuned_conv *op, const struct corner *corner, int32_t y,
                     int8_t *to)
{
    const struct nn_window *const w = &op->window;
    const int32_t bytes = w->filter_w * w->in_ch;
    const int32_t row_bytes = w->in_w * w->in_ch;
    const int32_t start = corner->left * w->in_ch;
    int32_t first = start < 0 ? -start : 0;
    int32_t last = row_bytes - start < bytes ? row_bytes - start : bytes;

    if (y < 0 || y >= w->in_h || first >= last) {
        first = bytes;
        last = bytes;
    }
    fill(to, op->zero, first);
    if (first < last) {
        copy(to + first, corner->image + y * row_bytes + start + first, last - first);
    }
    fill(to + last, op->zero, bytes - last);
}

/* Whether the window of `corner` shows no padding; `below` so many rows further down. */
static inline int is_inside(const struct nn_window *w, const struct corner *corner,
                            int32_t below)
{
    return corner->top >= 0 && corner->left >= 0 && corner->left + w->filter_w <= w->in_w &&
           corner->top + (w->filter_h - 1) * w->dilation_h + below < w->in_h;
}

/* Runs of whole words are widened where they lie; what shows padding is made up in `made`. */
static void gather_runs(const struct nn_tuned_conv *op, const struct corner corners[PIXELS],
                        uint32_t *columns)
{
    const struct nn_window *const w = &op->window;
    const int32_t run = w->filter_w * w->in_ch;
    const int32_t down = w->dilation_h * w->in_w * w->in_ch;
    int8_t *const made = (int8_t *)(columns + 2 * op->product.depth);
    const int8_t *from[PIXELS];
    int outside[PIXELS];
    int is_padded = 0;

    for (int32_t i = 0; i < PIXELS; i++) {
        const struct corner *const c = &corners[i];

        outside[i] = !is_inside(w, c, 0);
        is_padded |= outside[i];
        from[i] = outside[i] ? made + i * run
                             : c->image + (c->top * w->in_w + c->left) * w->in_ch;
    }
    for (int32_t tap = 0; tap < w->filter_h; tap++) {
        for (int32_t i = 0; is_padded && i < PIXELS; i++) {
            if (outside[i]) {
                make_run(op, &corners[i], corners[i].top + tap * w->dilation_h,
                         made + i * run);
            }
        }
        columns = nn_tuned_product_widen(from, run, columns);
        for (int32_t i = 0; i < PIXELS; i++) {
            from[i] += outside[i] ? 0 : down;
        }
    }
}

/* Runs of odd lengths, as first layers have: whole windows are put together first. */
static void gather_windows(const struct nn_tuned_conv *op, const struct corner corners[PIXELS],
                           uint32_t *columns)
{
    const struct nn_window *const w = &op->window;
    const int32_t run = w->filter_w * w->in_ch;
    const int32_t down = w->dilation_h * w->in_w * w->in_ch;
    int8_t *made = (int8_t *)(columns + 2 * op->product.depth);
    const int8_t *from[PIXELS];

    for (int32_t i = 0; i < PIXELS; i++, made += op->product.depth + 4) {
        const struct corner *const c = &corners[i];
        int8_t *to = made;

        from[i] = made;
        if (is_inside(w, c, 1)) {
            const int8_t *row = c->image + (c->top * w->in_w + c->left) * w->in_ch;

            /* Up to three bytes too many, which the next run covers; there is a row below. */
            for (int32_t tap = 0; tap < w->filter_h; tap++, to += run, row += down) {
                copy(to, row, (run + 3) & ~3);
            }
        } else {
            for (int32_t tap = 0; tap < w->filter_h; tap++, to += run) {
                make_run(op, c, c->top + tap * w->dilation_h, to);
            }
        }
    }
    /* What lies behind a window has weight 0. */
    (void)nn_tuned_product_widen(from, op->product.depth, columns);
}

/* The window of the next output pixel, as they lie in memory. */
static void step(const struct nn_window *w, struct corner *corner)
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

void nn_tuned_conv_s8(const struct nn_tuned_conv *op, const int8_t *in, int8_t *out,
                      void *scratch)
{
    const struct nn_window *const w = &op->window;
    const int32_t pixels = w->batches * w->out_h * w->out_w;
    const int is_whole = w->filter_w * w->in_ch % 4 == 0;
    struct corner corner = { in, -w->pad_h, -w->pad_w };
    int8_t *to = out;

    for (int32_t left = pixels; left > 0; left -= PIXELS) {
        struct corner corners[PIXELS];

        for (int32_t i = 0; i < PIXELS; i++) {
            corners[i] = corner;
            if (i + 1 < left) { /* behind the last pixel, that one again */
                step(w, &corner);
            }
        }
        if (is_whole) {
            gather_runs(op, corners, scratch);
        } else {
            gather_windows(op, corners, scratch);
        }
        nn_tuned_product_s8(&op->product, scratch, left, to);
        to += PIXELS * w->out_ch;
    }
    nn_tuned_clamp(out, pixels * w->out_ch, op->act_min, op->act_max);
}

void nn_tuned_conv_1x1_s8(const struct nn_tuned_conv_1x1 *op, const int8_t *in, int8_t *out,
                          uint32_t *columns)
{
    int8_t *to = out;

    for (int32_t left = op->pixels; left > 0; left -= PIXELS) {
        const int8_t *from[PIXELS];

        for (int32_t i = 0; i < PIXELS; i++) {
            from[i] = in + (i < left ? i : left - 1) * op->in_ch;
        }
        (void)nn_tuned_product_widen(from, op->in_ch, columns);
        nn_tuned_product_s8(&op->product, columns, left, to);
        in += PIXELS * op->in_ch;
        to += PIXELS * op->product.out_ch;
    }
    nn_tuned_clamp(out, op->pixels * op->product.out_ch, op->act_min, op->act_max);
}
