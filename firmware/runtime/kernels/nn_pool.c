/* Average and maximum pooling, portable C. SPDX-License-Identifier: Apache-2.0 */
#include "nn_pool.h"

#include "nn_requant.h"

/* The part of the input under one output pixel. */
struct patch {
    const int8_t *in;
    int32_t rows;
    int32_t columns;
    int32_t in_row;             /* bytes from row to row */
    int32_t in_column;
};

static struct patch see(const struct nn_window *w, const int8_t *image, int32_t y,
                        int32_t x)
{
    const int32_t top = y * w->stride_h - w->pad_h;
    const int32_t left = x * w->stride_w - w->pad_w;
    const struct nn_window_span rows = nn_window_clip(top, w->in_h, w->filter_h, 1);
    const struct nn_window_span columns = nn_window_clip(left, w->in_w, w->filter_w, 1);

    return (struct patch){
        .in = image + ((top + rows.first) * w->in_w + left + columns.first) * w->in_ch,
        .rows = rows.last - rows.first,
        .columns = columns.last - columns.first,
        .in_row = w->in_w * w->in_ch,
        .in_column = w->in_ch,
    };
}

static int32_t mean(const struct patch *patch, int32_t channel)
{
    const int32_t count = patch->rows * patch->columns;
    int32_t acc = 0;

    for (int32_t row = 0; row < patch->rows; row++) {
        const int8_t *x = patch->in + row * patch->in_row + channel;

        for (int32_t column = 0; column < patch->columns; column++) {
            acc += *x;
            x += patch->in_column;
        }
    }
    return (acc > 0 ? acc + count / 2 : acc - count / 2) / count;
}

static int32_t greatest(const struct patch *patch, int32_t channel)
{
    int32_t best = INT8_MIN;

    for (int32_t row = 0; row < patch->rows; row++) {
        const int8_t *x = patch->in + row * patch->in_row + channel;

        for (int32_t column = 0; column < patch->columns; column++) {
            best = *x > best ? *x : best;
            x += patch->in_column;
        }
    }
    return best;
}

static inline void pool(const struct nn_pool *op, const int8_t *in, int8_t *out,
                        int32_t (*reduce)(const struct patch *patch, int32_t channel))
{
    const struct nn_window *const w = &op->window;

    for (int32_t batch = 0; batch < w->batches; batch++) {
        for (int32_t y = 0; y < w->out_h; y++) {
            for (int32_t x = 0; x < w->out_w; x++) {
                const struct patch patch = see(w, in, y, x);

                for (int32_t channel = 0; channel < w->in_ch; channel++) {
                    const int32_t value = reduce(&patch, channel);

                    *out++ = (int8_t)nn_requant_clamp(value, op->act_min, op->act_max);
                }
            }
        }
        in += w->in_h * w->in_w * w->in_ch;
    }
}

void nn_pool_average_s8(const struct nn_pool *op, const int8_t *in, int8_t *out)
{
    pool(op, in, out, mean);
}

void nn_pool_max_s8(const struct nn_pool *op, const int8_t *in, int8_t *out)
{
    pool(op, in, out, greatest);
}
