/* Maximum pooling of signs, portable C. SPDX-License-Identifier: Apache-2.0
 *
 * A set bit is -1: the maximum is -1 only where all are, which is AND. The minimum is the
 * negated maximum of the negated signs. */
#include "nn_bin_pool.h"

void nn_bin_pool(const struct nn_bin_pool *op, const uint32_t *in, uint32_t *out)
{
    for (int32_t batch = 0; batch < op->batches; batch++) {
        for (int32_t pixel = 0; pixel < op->out_h * op->out_w; pixel++) {
            const int32_t y = pixel / op->out_w * op->stride_h - op->pad_top;
            const int32_t x = pixel % op->out_w * op->stride_w - op->pad_left;
            const int32_t y_from = y < 0 ? 0 : y;
            const int32_t x_from = x < 0 ? 0 : x;
            const int32_t y_end = y + op->filter_h;
            const int32_t x_end = x + op->filter_w;
            const int32_t y_to = y_end < op->in_h ? y_end : op->in_h;
            const int32_t x_to = x_end < op->in_w ? x_end : op->in_w;

            for (int32_t i = 0; i < op->words; i++) {
                const uint32_t invert = op->invert ? op->invert[i] : 0;
                uint32_t all = 0xffffffffu;

                for (int32_t in_y = y_from; in_y < y_to; in_y++) {
                    for (int32_t in_x = x_from; in_x < x_to; in_x++) {
                        all &= in[(in_y * op->in_w + in_x) * op->words + i] ^ invert;
                    }
                }
                *out++ = all ^ invert;
            }
        }
        in += op->in_h * op->in_w * op->words;
    }
}
