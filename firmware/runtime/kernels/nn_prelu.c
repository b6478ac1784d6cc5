/* Rectifier with a learnt slope below zero, portable C. SPDX-License-Identifier: Apache-2.0 */
#include "nn_prelu.h"

#include "nn_requant.h"

static int8_t prelu(const struct nn_prelu *op, int32_t in, int32_t alpha)
{
    const int32_t value = in + op->in_offset;

    if (value >= 0) {
        return nn_requant_s8(value, op->positive_multiplier, op->positive_shift,
                             op->out_offset, INT8_MIN, INT8_MAX);
    }
    return nn_requant_s8(value * (alpha + op->alpha_offset), op->negative_multiplier,
                         op->negative_shift, op->out_offset, INT8_MIN, INT8_MAX);
}

void nn_prelu_s8(const struct nn_prelu *op, const struct nn_walk *walk, const int8_t *in,
                 const int8_t *alpha, int8_t *out)
{
    struct nn_walk_row at = { 0 };

    do {
        const int8_t *x = in + at.a;
        const int8_t *slope = alpha + at.b;

        for (const int8_t *end = out + walk->row; out < end; out++) {
            *out = prelu(op, *x, *slope);
            x += walk->a_step;
            slope += walk->b_step;
        }
    } while (nn_walk_next(walk, &at));
}
