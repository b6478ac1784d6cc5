/* Average and maximum pooling. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_POOL_H
#define NN_POOL_H

#include "nn_window.h"

struct nn_pool {
    struct nn_window window;    /* in_ch == out_ch, dilations 1, no window all padding */
    int32_t act_min;
    int32_t act_max;
};

/* in [batches][in_h][in_w][in_ch], out [batches][out_h][out_w][in_ch]. They may
 * overlap only where out starts so far below in that it never overtakes the reading: the
 * distance is computed by plan/kernels/lag.py.
 * Padding takes no part: a mean divides by the taps inside the input. Means round half
 * away from zero. */
void nn_pool_average_s8(const struct nn_pool *op, const int8_t *in, int8_t *out);
void nn_pool_max_s8(const struct nn_pool *op, const int8_t *in, int8_t *out);

#endif
