/* Sums and means over any axes, portable C. SPDX-License-Identifier: Apache-2.0 */
#include "nn_reduce.h"

#include "nn_requant.h"

struct quad {
    int32_t s0, s1, s2, s3;
};

/* The sums of four elements side by side, or of one. */
static inline __attribute__((always_inline)) struct quad
sum(const struct nn_reduce_loop *loops, const int8_t *in, int is_quad)
{
    const int32_t stride = loops[2].stride;
    struct quad s = { 0 };

    for (int32_t i = 0; i < loops[0].count; i++) {
        for (int32_t j = 0; j < loops[1].count; j++) {
            const int8_t *x = in + i * loops[0].stride + j * loops[1].stride;

            _Pragma("GCC unroll 2")
            for (int32_t left = loops[2].count; left > 0; left--, x += stride) {
                s.s0 += x[0];
                if (is_quad) {
                    s.s1 += x[1];
                    s.s2 += x[2];
                    s.s3 += x[3];
                }
            }
        }
    }
    return s;
}

static int8_t finish(const struct nn_reduce *op, int32_t acc)
{
    return nn_requant_s8(acc + op->in_offset, op->multiplier, op->shift, op->out_offset,
                         INT8_MIN, INT8_MAX);
}

/* One row of outputs. */
static int8_t *reduce(const struct nn_reduce *op, const int8_t *x, int8_t *out)
{
    const struct nn_reduce_loop *const row = &op->kept[2];
    int32_t left = row->count;

    for (; row->stride == 1 && left >= 4; left -= 4, x += 4) {
        const struct quad s = sum(op->reduced, x, 1);

        *out++ = finish(op, s.s0);
        *out++ = finish(op, s.s1);
        *out++ = finish(op, s.s2);
        *out++ = finish(op, s.s3);
    }
    for (; left > 0; left--, x += row->stride) {
        *out++ = finish(op, sum(op->reduced, x, 0).s0);
    }
    return out;
}

void nn_reduce_s8(const struct nn_reduce *op, const int8_t *in, int8_t *out)
{
    const struct nn_reduce_loop *const kept = op->kept;

    for (int32_t i = 0; i < kept[0].count; i++) {
        for (int32_t j = 0; j < kept[1].count; j++) {
            out = reduce(op, in + i * kept[0].stride + j * kept[1].stride, out);
        }
    }
}
