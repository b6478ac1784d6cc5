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
static __attribute__((noinline)) void make_run(const struct nn_tuned_conv *op,
                                               const struct corner *corner, int32_t y,
                                               int8_t *to)
{
    const struct nn_window *const w = &op->window;
    const int32_t bytes = w->filter_w * w->in_ch;
    const int32_t row_bytes = w->in_w * w->in_ch;
    const int32_t start = corner->left * w->in_ch;
    const int32_t first = start < 0 ? -start : 0;
    const int32_t last = row_bytes - start < bytes ? row_bytes - start : bytes;

    if (y < 0 || y >= w->in_h || first >= last) {
        fill(to, op->zero, bytes);
        return;
    }
    fill(to, op->zero, first);
    copy(to + first, corner->image + y * row_bytes + start + first, last - first);
    fill(to + last, op->zero, bytes - last);
}

/* Whether the window of `corner`, and those of `more` pixels to its right, show no padding. */
static inline int is_inside(const struct nn_window *w, const struct corner *corner,
                            int32_t more)
{
    return corner->left >= 0 && corner->left + more * w->stride_w + w->filter_w <= w->in_w &&
           corner->top >= 0 && corner->top + (w->filter_h - 1) * w->dilation_h < w->in_h;
}

static inline const int8_t *window_start(const struct nn_window *w,
                                         const struct corner *corner)
{
    return corner->image + (corner->top * w->in_w + corner->left) * w->in_ch;
}

/* Where windows that show no padding start; NULL for the others. */
static inline void find_starts(const struct nn_window *w, const struct corner corners[PIXELS],
                               const int8_t *starts[PIXELS])
{
    for (int32_t i = 0; i < PIXELS; i++) {
        starts[i] = is_inside(w, &corners[i], 0) ? window_start(w, &corners[i]) : NULL;
    }
}

/* Runs of whole words are widened where they lie; what shows padding is made up in `made`. */
static void gather_runs(const struct nn_tuned_conv *op, const struct corner corners[PIXELS],
                        uint32_t *columns)
{
    const struct nn_window *const w = &op->window;
    const int32_t run = w->filter_w * w->in_ch;
    const int32_t down = w->dilation_h * w->in_w * w->in_ch;
    int8_t *const made = (int8_t *)(columns + 2 * op->product.depth);
    const int8_t *starts[PIXELS];

    find_starts(w, corners, starts);
    for (int32_t tap = 0; tap < w->filter_h; tap++) {
        const int8_t *from[PIXELS];

        for (int32_t i = 0; i < PIXELS; i++) {
            if (starts[i]) {
                from[i] = starts[i] + tap * down;
            } else {
                from[i] = made + i * run;
                make_run(op, &corners[i], corners[i].top + tap * w->dilation_h,
                         made + i * run);
            }
        }
        columns = nn_tuned_product_widen_rows(from, run, 0, 1, columns);
    }
}

/* Runs of other lengths, as first layers have: whole windows are put together in `made`. */
static void gather_windows(const struct nn_tuned_conv *op, const struct corner corners[PIXELS],
                           int8_t *made)
{
    const struct nn_window *const w = &op->window;
    const int32_t run = w->filter_w * w->in_ch;
    const int32_t down = w->dilation_h * w->in_w * w->in_ch;
    const int8_t *starts[PIXELS];

    find_starts(w, corners, starts);
    for (int32_t i = 0; i < PIXELS; i++, made += op->product.depth) {
        for (int32_t tap = 0; tap < w->filter_h; tap++) {
            if (starts[i]) {
                copy(made + tap * run, starts[i] + tap * down, run);
            } else {
                make_run(op, &corners[i], corners[i].top + tap * w->dilation_h,
                         made + tap * run);
            }
        }
    }
}

/* What whole words leave of each run, from byte `whole` on, one byte after the other. */
static void widen_ends(const struct nn_window *w, const int8_t *const from[PIXELS],
                       int32_t whole, int32_t down, uint32_t *columns)
{
    const int8_t *const p0 = from[0];
    const int8_t *const p1 = from[1];
    const int8_t *const p2 = from[2];
    const int8_t *const p3 = from[3];
    int32_t k = 0;

    for (int32_t tap = 0; tap < w->filter_h; tap++) {
        for (int32_t i = whole; i < w->filter_w * w->in_ch; i++, k++) {
            const int32_t at = tap * down + i;
            const int16_t values[PIXELS] = { p0[at], p1[at], p2[at], p3[at] };
            int8_t *const to = (int8_t *)columns + k / 4 * 32 + (k & 1) * 16 + (k & 2);

            memcpy(to, &values[0], 2);
            memcpy(to + 4, &values[1], 2);
            memcpy(to + 8, &values[2], 2);
            memcpy(to + 12, &values[3], 2);
        }
    }
}

/* Four windows, their runs `down` bytes apart. */
static void widen_windows(const struct nn_window *w, const int8_t *const from[PIXELS],
                          int32_t down, uint32_t *columns)
{
    const int32_t run = w->filter_w * w->in_ch;
    const int32_t whole = run & ~3;

    if (whole > 0) {
        columns = nn_tuned_product_widen_rows(from, whole, down, w->filter_h, columns);
    }
    if (run > whole) {
        widen_ends(w, from, whole, down, columns);
    }
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

/* Columns of the pixels at `corner` and after it, and `corner` moved behind them; behind the
 * last of `left`, that one again. */
static __attribute__((noinline)) void gather(const struct nn_tuned_conv *op,
                                             struct corner *corner, int32_t left,
                                             uint32_t *columns)
{
    const struct nn_window *const w = &op->window;
    const int32_t run = w->filter_w * w->in_ch;
    const int32_t away = w->stride_w * w->in_ch;
    const int32_t room = op->product.depth;
    /* The fast way: four in a row that show no padding. */
    const int32_t last = corner->left + (PIXELS - 1) * w->stride_w;
    const int is_plain = left >= PIXELS && last < w->out_w * w->stride_w - w->pad_w &&
                         is_inside(w, corner, PIXELS - 1);
    struct corner corners[PIXELS];

    if (is_plain) {
        const int8_t *const p = window_start(w, corner);
        const int8_t *const from[PIXELS] = { p, p + away, p + 2 * away, p + 3 * away };

        corner->left = last;
        step(w, corner);
        widen_windows(w, from, w->dilation_h * w->in_w * w->in_ch, columns);
        return;
    }
    for (int32_t i = 0; i < PIXELS; i++) {
        corners[i] = *corner;
        if (i + 1 < left) {
            step(w, corner);
        }
    }
    if (run % 4 == 0) {
        gather_runs(op, corners, columns);
    } else {
        int8_t *const made = (int8_t *)(columns + 2 * op->product.depth);
        const int8_t *const from[PIXELS] = { made, made + room, made + 2 * room,
                                             made + 3 * room };

        gather_windows(op, corners, made);
        widen_windows(w, from, run, columns);
    }
}

typedef void product(const struct nn_tuned_product *op, struct nn_tuned_product_run *now,
                     int32_t count, int8_t *out);

static inline __attribute__((always_inline)) void
convolve(const struct nn_tuned_conv *op, const int8_t *in, int8_t *out, void *scratch,
         product *multiply)
{
    const struct nn_window *const w = &op->window;
    const int32_t pixels = w->batches * w->out_h * w->out_w;
    struct corner corner = { in, -w->pad_h, -w->pad_w };
    struct nn_tuned_product_run now;
    int8_t *to = out;

    nn_tuned_product_start(&op->product, scratch, &now);
    for (int32_t left = pixels; left > 0; left -= PIXELS) {
        gather(op, &corner, left, scratch);
        multiply(&op->product, &now, left, to);
        to += PIXELS * w->out_ch;
    }
    nn_tuned_clamp(out, pixels * w->out_ch, op->act_min, op->act_max);
}

static inline __attribute__((always_inline)) void
convolve_1x1(const struct nn_tuned_conv_1x1 *op, const int8_t *in, int8_t *out,
             uint32_t *columns, product *multiply)
{
    struct nn_tuned_product_run now;
    int8_t *to = out;

    nn_tuned_product_start(&op->product, columns, &now);
    for (int32_t left = op->pixels; left > 0; left -= PIXELS) {
        const int8_t *from[PIXELS];

        for (int32_t i = 0; i < PIXELS; i++) {
            from[i] = in + (i < left ? i : left - 1) * op->in_ch;
        }
        nn_tuned_product_widen(from, op->in_ch, columns);
        multiply(&op->product, &now, left, to);
        in += PIXELS * op->in_ch;
        to += PIXELS * op->product.out_ch;
    }
    nn_tuned_clamp(out, op->pixels * op->product.out_ch, op->act_min, op->act_max);
}

void nn_tuned_conv_s8(const struct nn_tuned_conv *op, const int8_t *in, int8_t *out,
                      void *scratch)
{
    convolve(op, in, out, scratch, nn_tuned_product_s8);
}

void nn_tuned_conv_wide_s8(const struct nn_tuned_conv *op, const int8_t *in, int8_t *out,
                           void *scratch)
{
    convolve(op, in, out, scratch, nn_tuned_product_wide_s8);
}

void nn_tuned_conv_1x1_s8(const struct nn_tuned_conv_1x1 *op, const int8_t *in, int8_t *out,
                          uint32_t *columns)
{
    convolve_1x1(op, in, out, columns, nn_tuned_product_s8);
}

void nn_tuned_conv_1x1_wide_s8(const struct nn_tuned_conv_1x1 *op, const int8_t *in, int8_t *out,
                               uint32_t *columns)
{
    convolve_1x1(op, in, out, columns, nn_tuned_product_wide_s8);
}
