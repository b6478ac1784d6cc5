/* Sum of two int8 tensors, either of which may repeat. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_SCALE_ADD_H
#define NN_SCALE_ADD_H

#include "nn_scale.h"
#include "nn_walk.h"

struct nn_scale_add {
    const int32_t *a;   /* [256]: of each byte, unsigned, what it adds, rescaled */
    const int32_t *b;   /* |a| + |b| < 2^29 */
    struct nn_scale by; /* with the output's zero point */
    int8_t act_min;
    int8_t act_max;
};

/* As nn_add_broadcast_s8; a difference has what b adds negated. Always inlined: where op and
 * walk are constants, their fields become immediates. */
static inline __attribute__((always_inline)) void
nn_scale_add_s8(const struct nn_scale_add *op, const struct nn_walk *walk, const int8_t *a,
                const int8_t *b, int8_t *out)
{
    struct nn_walk_row at = { 0 };

    do {
        const uint8_t *x = (const uint8_t *)a + at.a;
        const uint8_t *y = (const uint8_t *)b + at.b;
        const int32_t first_x = op->a[*x];
        const int32_t first_y = op->b[*y];

        _Pragma("GCC unroll 4")
        for (int32_t i = 0; i < walk->row; i++) {
            const int32_t p = walk->a_step ? op->a[x[i]] : first_x;
            const int32_t q = walk->b_step ? op->b[y[i]] : first_y;

            out[i] = nn_scale_clamp(nn_scale(p + q, &op->by), op->act_min, op->act_max);
        }
        out += walk->row;
    } while (walk->rank && nn_walk_next(walk, &at));
}

#endif
