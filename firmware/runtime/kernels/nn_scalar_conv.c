/* Convolution for cores without packed products. SPDX-License-Identifier: Apache-2.0 */
#include "nn_scalar_conv.h"

#include "nn_corner.h"

#define PIXELS NN_SCALAR_PIXELS

static void gather(const struct nn_scalar_conv *op, const struct nn_corner corners[PIXELS],
                   int32_t pairs, uint32_t *columns)
{
    const struct nn_window *const w = &op->window;
    const int32_t run = w->filter_w * w->in_ch;
    int8_t *const made = (int8_t *)(columns + op->product.depth * pairs);

    for (int32_t tap = 0; tap < w->filter_h; tap++) {
        const int8_t *from[PIXELS];

        for (int32_t i = 0; i < 2 * pairs; i++) {
            from[i] = nn_corner_run(w, &corners[i], tap * w->dilation_h, op->zero,
                                    made + i * run);
        }
        columns = nn_scalar_product_pack(from, pairs, run, columns);
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
        const int32_t pairs = nn_scalar_product_pairs(left);
        struct nn_corner corners[PIXELS];

        for (int32_t i = 0; i < 2 * pairs; i++) {
            corners[i] = corner;
            if (i + 1 < left) { /* behind the last pixel, that one again */
                nn_corner_step(w, &corner);
            }
        }
        gather(op, corners, pairs, scratch);
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
        const int32_t pairs = nn_scalar_product_pairs(left);
        const int8_t *from[PIXELS];

        for (int32_t i = 0; i < 2 * pairs; i++) {
            from[i] = i < left ? in + i * op->in_ch : from[0];
        }
        (void)nn_scalar_product_pack(from, pairs, op->in_ch, columns);
        nn_scalar_product_s8(&op->product, columns, left, to);
        in += PIXELS * op->in_ch;
        to += PIXELS * op->product.out_ch;
    }
    nn_scalar_clamp(out, op->pixels * op->product.out_ch, op->act_min, op->act_max);
}
