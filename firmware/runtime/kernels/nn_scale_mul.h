/* Product of two int8 tensors. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_SCALE_MUL_H
#define NN_SCALE_MUL_H

#include "nn_scale.h"
#include "nn_walk.h"

struct nn_scale_mul {
    int32_t a_offset;   /* minus the zero point, in [-127, 128] */
    int32_t b_offset;
    struct nn_scale by; /* with the output's zero point */
    int8_t act_min;
    int8_t act_max;
};

/* As nn_mul_s8. Always inlined: where op and walk are constants, their fields become
 * immediates. */
static inline __attribute__((always_inline)) void
nn_scale_mul_s8(const struct nn_scale_mul *op, const struct nn_walk *walk, const int8_t *a,
                const int8_t *b, int8_t *out)
{
    struct nn_walk_row at = { 0 };

    do {
        const int8_t *x = a + at.a;
        const int8_t *y = b + at.b;
        const int32_t first_x = *x + op->a_offset;
        const int32_t first_y = *y + op->b_offset;

        _Pragma("GCC unroll 4")
        for (int32_t i = 0; i < walk->row; i++) {
            const int32_t p = walk->a_step ? x[i] + op->a_offset : first_x;
            const int32_t q = walk->b_step ? y[i] + op->b_offset : first_y;

            out[i] = nn_scale_clamp(nn_scale(p * q, &op->by), op->act_min, op->act_max);
        }
        out += walk->row;
    } while (walk->rank && nn_walk_next(walk, &at));
}

#endif
