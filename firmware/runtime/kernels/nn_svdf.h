/* Singular value decomposition filter: a fully connected layer in feature and in time.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_SVDF_H
#define NN_SVDF_H

#include <stdint.h>

struct nn_svdf {
    int32_t batches;
    int32_t in_depth;
    int32_t memory;               /* steps a filter looks back, at least 1 */
    int32_t rank;                 /* filters that add up to one output */
    int32_t units;                /* outputs; there are units * rank filters */
    int32_t state_zero_point;
    int32_t out_offset;           /* the output's zero point */
    int32_t feature_multiplier;   /* input * weights -> state */
    int32_t feature_shift;
    int32_t out_multiplier;       /* state * weights -> output */
    int32_t out_shift;
    const int8_t *feature;        /* [units * rank][in_depth] */
    const int32_t *feature_bias;  /* [units * rank]: the input's zero point, folded */
    const void *time;             /* [units * rank][memory], elements as the state's */
    const int32_t *bias;          /* [units] */
};

/* in [batches][in_depth], out [batches][units]; state [batches][units * rank][memory],
 * oldest first, starting at its zero point. Sums over time wrap at 32 bits, as TFLM's.
 * No overlap. */
void nn_svdf_s8(const struct nn_svdf *op, const int8_t *in, int8_t *out, int8_t *state);

/* The same with int16 state and time weights. */
void nn_svdf_s8_s16(const struct nn_svdf *op, const int8_t *in, int8_t *out,
                    int16_t *state);

#endif
