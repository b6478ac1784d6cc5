/* Convolution for cores with packed 16-bit products. SPDX-License-Identifier: Apache-2.0 */
#include "nn_tuned_conv.h"

#define PIXELS NN_TUNED_PRODUCT_PIXELS

/* Where the window of an output pixel starts; outside the image where it is padded. */
struct corner {
    const int8_t *image;
    int32_t top;
    int32_t left;
};

/* The run at a row of the input, from column `left` on. Where it shows padding it is made
 * up in `made`. */
static inline const int8_t *find_run(const struct nn_tuned_conv *op,
                                     const struct corner *corner, int32_t y, int8_t *made)
{
    const struct nn_window *const w = &op->window;
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

        made[i] = is_row && at >= 0 && at < row_bytes ? row[at] : op->zero;
    }
    return made;
}

static void gather(const struct nn_tuned_conv *op, const struct corner corners[PIXELS],
                   uint32_t *columns)
{
    const struct nn_window *const w = &op->window;
    const int32_t run = w->filter_w * w->in_ch;
    int8_t *const made = (int8_t *)(columns + 2 * op->product.depth);

    for (int32_t tap = 0; tap < w->filter_h; tap++) {
        const int32_t down = tap * w->dilation_h;
        const int8_t *from[PIXELS];

        for (int32_t i = 0; i < PIXELS; i++) {
            from[i] = find_run(op, &corners[i], corners[i].top + down, made + i * run);
        }
        columns = nn_tuned_product_widen(from, run, columns);
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

void nn_tuned_conv_s8(const struct nn_tuned_conv *op, const int8_t *in, int8_t *out,
                      void *scratch)
{
    const struct nn_window *const w = &op->window;
    const int32_t pixels = w->batches * w->out_h * w->out_w;
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
        gather(op, corners, scratch);
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
            from[i] = i < left ? in + i * op->in_ch : from[0];
        }
        (void)nn_tuned_product_widen(from, op->in_ch, columns);
        nn_tuned_product_s8(&op->product, columns, left, to);
        in += PIXELS * op->in_ch;
        to += PIXELS * op->product.out_ch;
    }
    nn_tuned_clamp(out, op->pixels * op->product.out_ch, op->act_min, op->act_max);
}
