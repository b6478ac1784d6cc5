/* Fully connected layer. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_FC_H
#define NN_FC_H

#include <stdint.h>

struct nn_fc {
    int32_t batches;
    int32_t in_depth;
    int32_t out_depth;
    int32_t in_offset;         /* minus the input's zero point, in [-127, 128] */
    int32_t filter_offset;     /* minus the weights' zero point */
    int32_t out_offset;        /* the output's zero point */
    int32_t act_min;
    int32_t act_max;
    const int32_t *multipliers; /* one, or out_depth of them */
    const int32_t *shifts;
    int32_t per_channel;       /* 0: one multiplier and shift for all */
    const int8_t *weights;     /* [out_depth][in_depth] */
    const int32_t *bias;       /* [out_depth], or null */
};

/* in [batches][in_depth], out [batches][out_depth]; they must not overlap.
 * |acc| <= 255 * 255 * in_depth + |bias| < 2^31: the host checks in_depth and bias. */
void nn_fc_s8(const struct nn_fc *op, const int8_t *in, int8_t *out);

#endif
