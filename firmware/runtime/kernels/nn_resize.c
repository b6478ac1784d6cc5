/* Images to another height and width, portable C. SPDX-License-Identifier: Apache-2.0 */
#include "nn_resize.h"

#include <string.h>

void nn_resize_nearest(const struct nn_resize_nearest *op, const uint8_t *in, uint8_t *out)
{
    const int32_t row_bytes = op->in_width * op->pixel_bytes;

    for (int32_t batch = 0; batch < op->batches; batch++) {
        for (int32_t y = 0; y < op->out_height; y++) {
            const uint8_t *row = in + op->rows[y] * row_bytes;

            for (int32_t x = 0; x < op->out_width; x++) {
                memcpy(out, row + op->columns[x] * op->pixel_bytes, (size_t)op->pixel_bytes);
                out += op->pixel_bytes;
            }
        }
        in += op->in_height * row_bytes;
    }
}

/* The two input positions an output position lies between, and its way from one to the next in
 * 1/1024. Before the first position the way is negative and both are 0. */
struct between {
    int32_t low;
    int32_t high;
    int32_t way;
};

static struct between between(int32_t scaled, int32_t size)
{
    const int32_t low = scaled > 0 ? scaled / 1024 : 0;
    const int32_t above = (scaled + 1023) / 1024;

    return (struct between){ low, above < size ? above : size - 1, scaled - low * 1024 };
}

void nn_resize_bilinear_s8(const struct nn_resize_bilinear *op, const int8_t *in, int8_t *out)
{
    const int32_t row = op->in_width * op->depth;

    for (int32_t batch = 0; batch < op->batches; batch++) {
        for (int32_t y = 0; y < op->out_height; y++) {
            const struct between v =
                between(y * op->height_scale + op->height_shift, op->in_height);
            const int8_t *upper = in + v.low * row;
            const int8_t *lower = in + v.high * row;

            for (int32_t x = 0; x < op->out_width; x++) {
                const struct between h =
                    between(x * op->width_scale + op->width_shift, op->in_width);
                const int32_t left = h.low * op->depth;
                const int32_t right = h.high * op->depth;
                /* Ways lie in [-512, 1023], weights in [-512, 1536], so four products stay
                 * below 4 * 128 * 1536^2 < 2^31. */
                const int32_t upper_left = (1024 - v.way) * (1024 - h.way);
                const int32_t upper_right = (1024 - v.way) * h.way;
                const int32_t lower_left = v.way * (1024 - h.way);
                const int32_t lower_right = v.way * h.way;

                for (int32_t c = 0; c < op->depth; c++) {
                    const int32_t sum =
                        upper[left + c] * upper_left + upper[right + c] * upper_right +
                        lower[left + c] * lower_left + lower[right + c] * lower_right;

                    *out++ = (int8_t)((sum + (sum > 0 ? 1 << 19 : -(1 << 19))) / (1 << 20));
                }
            }
        }
        in += op->in_height * row;
    }
}
