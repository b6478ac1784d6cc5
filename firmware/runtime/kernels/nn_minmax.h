/* Smaller and larger of two int8 tensors. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_MINMAX_H
#define NN_MINMAX_H

#include <stdint.h>

#include "nn_walk.h"

/* out = min(a, b) or max(a, b) of the bytes: all three share scale and zero point. walk gives the operands'
 * strides, 0 where one repeats; the output is dense. out may be an operand of the output's own
 * shape. */
void nn_minmax_min_s8(const struct nn_walk *walk, const int8_t *a, const int8_t *b, int8_t *out);
void nn_minmax_max_s8(const struct nn_walk *walk, const int8_t *a, const int8_t *b, int8_t *out);

#endif
