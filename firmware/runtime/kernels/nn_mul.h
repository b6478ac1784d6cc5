/* Product of two int8 tensors. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_MUL_H
#define NN_MUL_H

#include <stdint.h>

#include "nn_walk.h"

struct nn_mul {
    int32_t a_offset;   /* minus the zero point, in [-127, 128] */
    int32_t b_offset;
    int32_t out_offset; /* the output's zero point */
    int32_t multiplier; /* as nn_requant takes them */
    int32_t shift;
    int32_t act_min;
    int32_t act_max;
};

/* out = a * b. walk gives the operands' strides, 0 where one repeats; the output is dense. out
 * may be an operand of the output's own shape. */
void nn_mul_s8(const struct nn_mul *op, const struct nn_walk *walk, const int8_t *a,
               const int8_t *b, int8_t *out);

#endif
