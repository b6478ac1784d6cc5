/* Singular value decomposition filter: nn_sums for its features.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_SUMS_SVDF_H
#define NN_SUMS_SVDF_H

#include "nn_scale.h"
#include "nn_sums.h"

struct nn_sums_svdf {
    int32_t batches;
    int32_t memory;             /* steps a filter looks back, at least 1 */
    int32_t rank;               /* filters that add up to one output */
    int32_t units;              /* outputs; there are units * rank filters */
    int32_t state_zero_point;   /* in [-128, 127]; 0 for int16 */
    int32_t out_offset;         /* the output's zero point */
    int32_t out_multiplier;     /* state * weights -> output, as nn_requant takes them */
    int32_t out_shift;
    nn_sums_fn *sums;
    struct nn_sums feature;
    struct nn_scale to_state;
    const void *time;           /* [units * rank][memory], elements as the state's */
    const int32_t *bias;        /* [units], the state's zero point folded in */
};

/* As nn_svdf_s8 and nn_svdf_s8_s16; scratch: the sums of `feature`, then what it takes. */
void nn_sums_svdf_s8(const struct nn_sums_svdf *op, const int8_t *in, int8_t *out,
                     int8_t *state, int32_t *scratch);
void nn_sums_svdf_s8_s16(const struct nn_sums_svdf *op, const int8_t *in, int8_t *out,
                         int16_t *state, int32_t *scratch);

#endif
