/* Product of two int8 tensors, portable C. SPDX-License-Identifier: Apache-2.0 */
#include "nn_mul.h"

#include "nn_requant.h"

void nn_mul_s8(const struct nn_mul *op, const struct nn_walk *walk, const int8_t *a,
               const int8_t *b, int8_t *out)
{
    const struct nn_mul k = *op;
    struct nn_walk_row at = { 0 };

    do {
        const int8_t *x = a + at.a;
        const int8_t *y = b + at.b;

        for (const int8_t *end = out + walk->row; out < end; out++) {
            /* at most 255 * 255 */
            const int32_t product = (*x + k.a_offset) * (*y + k.b_offset);

            if (k.shift < 0) {
                const int32_t result = nn_requant_right(product, k.multiplier, -k.shift);

                *out = (int8_t)nn_requant_clamp(result + k.out_offset, k.act_min, k.act_max);
            } else {
                *out = nn_requant_s8(product, k.multiplier, k.shift, k.out_offset, k.act_min,
                                     k.act_max);
            }
            x += walk->a_step;
            y += walk->b_step;
        }
    } while (nn_walk_next(walk, &at));
}
