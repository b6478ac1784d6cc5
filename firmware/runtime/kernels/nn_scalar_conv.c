/* Convolution for cores without packed products. SPDX-License-Identifier: Apache-2.0 */
#include "nn_scalar_conv.h"

#include "nn_corner.h"

#define PIXELS NN_SCALAR_PIXELS

/* Whether no window shows padding. */
static int is_inside(const struct nn_window *w, const struct nn_corner *corners, int32_t count)
{
    const int32_t bottom = w->in_h - (w->filter_h - 1) * w->dilation_h;
    const int32_t right = w->in_w - w->filter_w + 1;

    for (const struct nn_corner *c = corners; c < corners + count; c++) {
        if (c->top < 0 || c->top >= bottom || c->left < 0 || c->left >= right) {
            return 0;
        }
    }
    return 1;
}

static void gather(const struct nn_scalar_conv *op, const struct nn_corner corners[PIXELS],
                   int32_t triples, uint32_t *columns)
{
    const struct nn_window *const w = &op->window;
    const int32_t run = w->filter_w * w->in_ch;
    const int32_t down = w->dilation_h * w->in_w * w->in_ch;
    const int32_t is_whole = is_inside(w, corners, 3 * triples);
    int8_t *const made = (int8_t *)(columns + op->product.depth * 2 * triples);
    const int8_t *from[PIXELS];

    for (int32_t i = 0; is_whole && i < 3 * triples; i++) {
        from[i] = nn_corner_run(w, &corners[i], 0, op->zero, made);
    }
    for (int32_t tap = 0; tap < w->filter_h; tap++) {
        for (int32_t i = 0; !is_whole && i < 3 * triples; i++) {
            from[i] = nn_corner_run(w, &corners[i], tap * w->dilation_h, op->zero,
                                    made + i * run);
        }
        columns = nn_scalar_product_pack(from, triples, run, columns);
        for (int32_t i = 0; is_whole && i < 3 * triples; i++) {
            from[i] += down;
        }
    }
}

void nn_scalar_conv_s8(const struct nn_scalar_conv *op, const int8_t *in, int8_t *out,
                       void *scratch)
{
    const struct nn_window *const w = &op->window;
    const int32_t pixels = w->batches * w->out_h * w->out_w;
    struct nn_corner corner = { in, -w->pad_h, -w->pad_w };
    int8_t *to = out;

    for (int32_t left = pixels; left > 0; left -= PIXELS) {
        const int32_t triples = nn_scalar_product_triples(left);
        struct nn_corner corners[PIXELS];

        for (int32_t i = 0; i < 3 * triples; i++) {
            corners[i] = corner;
            if (i + 1 < left) { /* behind the last pixel, that one again */
                nn_corner_step(w, &corner);
            }
        }
        gather(op, corners, triples, scratch);
        nn_scalar_product_s8(&op->product, scratch, left, to);
        to += PIXELS * w->out_ch;
    }
    nn_scalar_clamp(out, pixels * w->out_ch, op->act_min, op->act_max);
}

void nn_scalar_conv_1x1_s8(const struct nn_scalar_conv_1x1 *op, const int8_t *in,
                           int8_t *out, uint32_t *columns)
{
    int8_t *to = out;

    for (int32_t left = op->pixels; left > 0; left -= PIXELS) {
        const int32_t triples = nn_scalar_product_triples(left);
        const int8_t *from[PIXELS];

        for (int32_t i = 0; i < 3 * triples; i++) {
            from[i] = i < left ? in + i * op->in_ch : from[0];
        }
        (void)nn_scalar_product_pack(from, triples, op->in_ch, columns);
        nn_scalar_product_s8(&op->product, columns, left, to);
        in += PIXELS * op->in_ch;
        to += PIXELS * op->product.out_ch;
    }
    nn_scalar_clamp(out, op->pixels * op->product.out_ch, op->act_min, op->act_max);
}
