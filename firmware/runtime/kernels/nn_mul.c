/* Product of two int8 tensors, portable C. SPDX-License-Identifier: Apache-2.0 */
#include "nn_mul.h"

#include "nn_requant.h"

void nn_mul_s8(const struct nn_mul *op, const struct nn_walk *walk, const int8_t *a,
               const int8_t *b, int8_t *out)
{
    struct nn_walk_row at = { 0 };

    do {
        const int8_t *x = a + at.a;
        const int8_t *y = b + at.b;

        for (const int8_t *end = out + walk->row; out < end; out++) {
            const int32_t product = (*x + op->a_offset) * (*y + op->b_offset);

            *out = nn_requant_s8(product, op->multiplier, op->shift, op->out_offset,
                                 op->act_min, op->act_max);
            x += walk->a_step;
            y += walk->b_step;
        }
    } while (nn_walk_next(walk, &at));
}
