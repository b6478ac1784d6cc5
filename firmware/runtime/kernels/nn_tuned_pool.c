/* Average and maximum pooling, four channels at a time. SPDX-License-Identifier: Apache-2.0 */
#include "nn_tuned_pool.h"

#include "nn_dsp.h"
#include "nn_requant.h"

#define GROUP 4

/* The part of the input under one output pixel. */
struct patch {
    const int8_t *in;
    int32_t rows;
    int32_t columns;
    int32_t row_bytes;
    int32_t column_bytes;
};

static int32_t mean(int32_t sum, int32_t count)
{
    return (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
}

/* n channels, 4 at most; the rest is zeros. */
static inline uint32_t load(const int8_t *p, int32_t n)
{
    return n >= GROUP ? nn_dsp_load(p) : nn_dsp_load_some(p, n);
}

static inline __attribute__((always_inline)) void
average(const struct patch *patch, const struct nn_pool *op, int32_t n, int8_t *out)
{
    const int32_t count = patch->rows * patch->columns;
    const int8_t *row = patch->in;
    uint32_t even = 0; /* sums of channels 0 and 2; 1 and 3 */
    uint32_t odd = 0;

    for (int32_t y = 0; y < patch->rows; y++, row += patch->row_bytes) {
        const int8_t *x = row;

        for (int32_t left = patch->columns; left > 0; left--, x += patch->column_bytes) {
            const uint32_t four = load(x, n);

            even = nn_dsp_add_even(even, four);
            odd = nn_dsp_add_odd(odd, four);
        }
    }
    const int32_t sums[GROUP] = { (int16_t)even, (int16_t)odd, (int32_t)even >> 16,
                                  (int32_t)odd >> 16 };

    for (int32_t i = 0; i < n; i++) {
        out[i] = (int8_t)nn_requant_clamp(mean(sums[i], count), op->act_min, op->act_max);
    }
}

static inline __attribute__((always_inline)) void
greatest(const struct patch *patch, const struct nn_pool *op, int32_t n, int8_t *out)
{
    const int8_t *row = patch->in;
    uint32_t best = load(row, n);

    for (int32_t y = 0; y < patch->rows; y++, row += patch->row_bytes) {
        const int8_t *x = row;

        for (int32_t left = patch->columns; left > 0; left--, x += patch->column_bytes) {
            best = nn_dsp_max(best, load(x, n));
        }
    }
    for (int32_t i = 0; i < n; i++, best >>= 8) {
        out[i] = (int8_t)nn_requant_clamp((int8_t)best, op->act_min, op->act_max);
    }
}

static inline __attribute__((always_inline)) void
pool(const struct nn_pool *op, const int8_t *in, int8_t *out,
     void (*reduce)(const struct patch *, const struct nn_pool *, int32_t, int8_t *))
{
    const struct nn_window *const w = &op->window;

    for (int32_t batch = 0; batch < w->batches; batch++) {
        for (int32_t y = 0; y < w->out_h; y++) {
            const int32_t top = y * w->stride_h - w->pad_h;
            const struct nn_window_span rows = nn_window_clip(top, w->in_h, w->filter_h, 1);

            for (int32_t x = 0; x < w->out_w; x++) {
                const int32_t left = x * w->stride_w - w->pad_w;
                const struct nn_window_span columns =
                    nn_window_clip(left, w->in_w, w->filter_w, 1);
                struct patch patch = {
                    .in = in + ((top + rows.first) * w->in_w + left + columns.first) * w->in_ch,
                    .rows = rows.last - rows.first,
                    .columns = columns.last - columns.first,
                    .row_bytes = w->in_w * w->in_ch,
                    .column_bytes = w->in_ch,
                };
                int32_t rest = w->in_ch;

                for (; rest >= GROUP; rest -= GROUP, patch.in += GROUP, out += GROUP) {
                    reduce(&patch, op, GROUP, out);
                }
                if (rest > 0) {
                    reduce(&patch, op, rest, out);
                    out += rest;
                }
            }
        }
        in += w->in_h * w->in_w * w->in_ch;
    }
}

void nn_tuned_pool_average_s8(const struct nn_pool *op, const int8_t *in, int8_t *out)
{
    pool(op, in, out, average);
}

void nn_tuned_pool_max_s8(const struct nn_pool *op, const int8_t *in, int8_t *out)
{
    pool(op, in, out, greatest);
}
