/* Rectifier with a learnt slope below zero. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_PRELU_H
#define NN_PRELU_H

#include <stdint.h>

#include "nn_walk.h"

struct nn_prelu {
    int32_t in_offset;           /* minus the zero points, in [-127, 128] */
    int32_t alpha_offset;
    int32_t out_offset;          /* the output's zero point */
    int32_t positive_multiplier; /* for inputs from zero up; as nn_requant takes them */
    int32_t positive_shift;
    int32_t negative_multiplier; /* for alpha * in */
    int32_t negative_shift;
};

/* walk gives the strides of in (a) and alpha (b), 0 where one repeats; the output is dense. out
 * may be in where the shapes are equal. */
void nn_prelu_s8(const struct nn_prelu *op, const struct nn_walk *walk, const int8_t *in,
                 const int8_t *alpha, int8_t *out);

#endif
