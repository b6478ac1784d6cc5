/* Walks two arrays at once, row by row. SPDX-License-Identifier: Apache-2.0 */
#include "nn_walk.h"

bool nn_walk_next(const struct nn_walk *walk, struct nn_walk_row *row)
{
    for (int32_t i = walk->rank - 1; i >= 0; i--) {
        row->a += walk->a_strides[i];
        row->b += walk->b_strides[i];
        if (++row->index[i] < walk->dims[i]) {
            return true;
        }
        row->a -= walk->a_strides[i] * walk->dims[i];
        row->b -= walk->b_strides[i] * walk->dims[i];
        row->index[i] = 0;
    }
    return false;
}
