/* Sum and difference of two int8 tensors, one repeating. SPDX-License-Identifier: Apache-2.0 */
#include "nn_add.h"

void nn_add_broadcast_s8(const struct nn_add *op, const struct nn_walk *walk, const int8_t *a,
                         const int8_t *b, int8_t *out)
{
    struct nn_walk_row at = { 0 };

    do {
        nn_add_row(op, false, a + at.a, walk->a_step, b + at.b, walk->b_step, out, walk->row);
        out += walk->row;
    } while (nn_walk_next(walk, &at));
}

void nn_add_subtract_broadcast_s8(const struct nn_add *op, const struct nn_walk *walk,
                                  const int8_t *a, const int8_t *b, int8_t *out)
{
    struct nn_walk_row at = { 0 };

    do {
        nn_add_row(op, true, a + at.a, walk->a_step, b + at.b, walk->b_step, out, walk->row);
        out += walk->row;
    } while (nn_walk_next(walk, &at));
}
