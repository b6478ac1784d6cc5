/* Sums and means over any axes, portable C. SPDX-License-Identifier: Apache-2.0 */
#include "nn_reduce.h"

#include "nn_requant.h"

static int32_t sum(const struct nn_reduce_loop *loops, const int8_t *in)
{
    int32_t acc = 0;

    for (int32_t i = 0; i < loops[0].count; i++) {
        for (int32_t j = 0; j < loops[1].count; j++) {
            const int8_t *x = in + i * loops[0].stride + j * loops[1].stride;

            for (int32_t k = 0; k < loops[2].count; k++) {
                acc += *x;
                x += loops[2].stride;
            }
        }
    }
    return acc;
}

void nn_reduce_s8(const struct nn_reduce *op, const int8_t *in, int8_t *out)
{
    const struct nn_reduce_loop *const kept = op->kept;

    for (int32_t i = 0; i < kept[0].count; i++) {
        for (int32_t j = 0; j < kept[1].count; j++) {
            const int8_t *x = in + i * kept[0].stride + j * kept[1].stride;

            for (int32_t k = 0; k < kept[2].count; k++) {
                *out++ =
                    nn_requant_s8(sum(op->reduced, x) + op->in_offset, op->multiplier,
                                  op->shift, op->out_offset, INT8_MIN, INT8_MAX);
                x += kept[2].stride;
            }
        }
    }
}
