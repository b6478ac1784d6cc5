/* Average and maximum pooling for cores with packed 16-bit arithmetic.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_TUNED_POOL_H
#define NN_TUNED_POOL_H

#include "nn_pool.h"

/* As nn_pool.h. A mean is over 255 taps at most: its sums have 16 bits. */
void nn_tuned_pool_average_s8(const struct nn_pool *op, const int8_t *in, int8_t *out);
void nn_tuned_pool_max_s8(const struct nn_pool *op, const int8_t *in, int8_t *out);

#endif
