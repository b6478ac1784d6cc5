/* Fully connected layer. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_FC_H
#define NN_FC_H

#include <stdint.h>

struct nn_fc {
    int32_t batches;
    int32_t in_depth;
    int32_t out_depth;
    int32_t filter_offset;      /* minus the weights' zero point */
    int32_t out_offset;         /* the output's zero point */
    int32_t act_min;
    int32_t act_max;
    const int32_t *multipliers; /* [out_depth] */
    const int32_t *shifts;      /* [out_depth] */
    const int8_t *weights;      /* [out_depth][in_depth] */
    const int32_t *bias;        /* [out_depth]; holds the input's zero point, too */
};

/* in [batches][in_depth], out [batches][out_depth]; they must not overlap.
 * The input's zero point times each channel's weights is the same for every input, so the
 * host adds it to the bias. Sums fit 32 bits: the host has checked weights and bias. */
void nn_fc_s8(const struct nn_fc *op, const int8_t *in, int8_t *out);

#endif
