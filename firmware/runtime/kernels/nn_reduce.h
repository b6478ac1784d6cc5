/* Sums and means over any axes. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_REDUCE_H
#define NN_REDUCE_H

#include <stdint.h>

#define NN_REDUCE_LOOPS 3

struct nn_reduce_loop {
    int32_t count;
    int32_t stride;             /* bytes */
};

struct nn_reduce {
    /* Outermost first; unused ones count 1. */
    struct nn_reduce_loop kept[NN_REDUCE_LOOPS];
    struct nn_reduce_loop reduced[NN_REDUCE_LOOPS];
    int32_t in_offset;          /* minus the input's zero point, times elements summed */
    int32_t out_offset;
    int32_t multiplier;         /* a mean's holds the division */
    int32_t shift;
};

/* out[k] = requantised sum over `reduced` at position k of `kept`. Fewer than 2^23
 * elements a sum: the host has checked. in and out must not overlap. */
void nn_reduce_s8(const struct nn_reduce *op, const int8_t *in, int8_t *out);

#endif
