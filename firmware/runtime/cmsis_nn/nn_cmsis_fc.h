/* Fully connected layer as a matrix product of CMSIS-NN. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_CMSIS_FC_H
#define NN_CMSIS_FC_H

#include "arm_nnfunctions.h"

struct nn_cmsis_fc {
    int32_t batches;
    int32_t in_depth;
    int32_t out_depth;
    cmsis_nn_conv_params params; /* stride 1, padding 0 */
    int32_t multiplier;
    int32_t shift;
    const int8_t *weights;      /* [out_depth][in_depth] */
    const int32_t *bias;        /* [out_depth], or null */
};

/* in [batches][in_depth], out [batches][out_depth]; they must not overlap.
 *
 * Instead of arm_fully_connected_s8 on cores with vectors: that one predicates every vector, the
 * matrix product only the last of a row. */
void nn_cmsis_fc_s8(const struct nn_cmsis_fc *op, const int8_t *in, int8_t *out);

#endif
