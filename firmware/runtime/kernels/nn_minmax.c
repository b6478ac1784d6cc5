/* Smaller and larger of two int8 tensors, portable C. SPDX-License-Identifier: Apache-2.0 */
#include "nn_minmax.h"

void nn_minmax_min_s8(const struct nn_walk *walk, const int8_t *a, const int8_t *b, int8_t *out)
{
    struct nn_walk_row at = { 0 };

    do {
        const int8_t *x = a + at.a;
        const int8_t *y = b + at.b;

        for (const int8_t *end = out + walk->row; out < end; out++) {
            *out = *x < *y ? *x : *y;
            x += walk->a_step;
            y += walk->b_step;
        }
    } while (nn_walk_next(walk, &at));
}

void nn_minmax_max_s8(const struct nn_walk *walk, const int8_t *a, const int8_t *b, int8_t *out)
{
    struct nn_walk_row at = { 0 };

    do {
        const int8_t *x = a + at.a;
        const int8_t *y = b + at.b;

        for (const int8_t *end = out + walk->row; out < end; out++) {
            *out = *x > *y ? *x : *y;
            x += walk->a_step;
            y += walk->b_step;
        }
    } while (nn_walk_next(walk, &at));
}
