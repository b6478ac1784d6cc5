/* Walks two arrays at once, row by row. SPDX-License-Identifier: Apache-2.0
 *
 * The host merges every dimension it can into its neighbour, so most layers are one row. */
#ifndef NN_WALK_H
#define NN_WALK_H

#include <stdbool.h>
#include <stdint.h>

#define NN_WALK_RANK 5 /* CAPSULE_MAX_RANK less the row */

struct nn_walk {
    int32_t rank;                  /* dimensions outside the row, at most NN_WALK_RANK */
    int32_t dims[NN_WALK_RANK];    /* outermost first, all positive */
    int32_t a_strides[NN_WALK_RANK]; /* elements; 0 repeats, negative runs backwards */
    int32_t b_strides[NN_WALK_RANK];
    int32_t row;                   /* elements of the innermost dimension */
    int32_t a_step;                /* its strides */
    int32_t b_step;
};

/* Where the current row starts, in elements. All zero is the first row. */
struct nn_walk_row {
    int32_t a;
    int32_t b;
    int32_t index[NN_WALK_RANK];
};

/* Moves to the next row; false after the last. */
bool nn_walk_next(const struct nn_walk *walk, struct nn_walk_row *row);

#endif
