/* Average and maximum pooling on MVE. SPDX-License-Identifier: Apache-2.0 */
#include "nn_mve_pool.h"

static struct nn_mve_patch see(const struct nn_window *w, const int8_t *image, int32_t y,
                               int32_t x)
{
    const int32_t top = y * w->stride_h - w->pad_h;
    const int32_t left = x * w->stride_w - w->pad_w;
    const struct nn_window_span rows = nn_window_clip(top, w->in_h, w->filter_h, 1);
    const struct nn_window_span columns = nn_window_clip(left, w->in_w, w->filter_w, 1);
    const int32_t seen = columns.last - columns.first;

    return (struct nn_mve_patch){
        .in = image + ((top + rows.first) * w->in_w + left + columns.first) * w->in_ch,
        .rows = rows.last - rows.first,
        .columns = seen,
        .in_column = w->in_ch,
        .in_skip = (w->in_w - seen) * w->in_ch,
    };
}

typedef void reduce_fn(const struct nn_mve_pool *op, const struct nn_mve_patch *p,
                       int32_t channel, int32_t left, int8_t *out);

static inline __attribute__((always_inline)) void pool(const struct nn_mve_pool *op,
                                                       const int8_t *in, int8_t *out,
                                                       reduce_fn *reduce, int32_t lanes)
{
    const struct nn_window *const w = &op->window;

    for (int32_t batch = 0; batch < w->batches; batch++) {
        for (int32_t y = 0; y < w->out_h; y++) {
            for (int32_t x = 0; x < w->out_w; x++) {
                const struct nn_mve_patch patch = see(w, in, y, x);

                for (int32_t channel = 0; channel < w->in_ch; channel += lanes) {
                    reduce(op, &patch, channel, w->in_ch - channel, out);
                }
                out += w->in_ch;
            }
        }
        in += w->in_h * w->in_w * w->in_ch;
    }
}

void nn_mve_pool_average_s8(const struct nn_mve_pool *op, const int8_t *in, int8_t *out)
{
    pool(op, in, out, nn_mve_pool_mean, NN_MVE_POOL_MEANS);
}

void nn_mve_pool_max_s8(const struct nn_mve_pool *op, const int8_t *in, int8_t *out)
{
    pool(op, in, out, nn_mve_pool_greatest, NN_MVE_LANES);
}
