/* Softmax. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_SOFTMAX_H
#define NN_SOFTMAX_H

#include <stdint.h>

struct nn_softmax {
    int32_t rows;
    int32_t depth;              /* in [1, 4095]: sums have 12 integer bits */
    int32_t terms;              /* in [1, 256]; differences of `terms` or more give 0 */
    const int32_t *exps;        /* [terms]: exp(-d * scale * beta) in Q0.31; then a 0 */
};

/* Over the last dimension of [rows][depth]; gemmlowp's fixed-point arithmetic, its
 * exponentials tabulated by the host. nn_softmax_s8 may run in place; output zero point
 * -128, scale 1/256. */
void nn_softmax_s8(const struct nn_softmax *op, const int8_t *in, int8_t *out);

/* Output zero point -32768, scale 1/65536; no overlap. */
void nn_softmax_s8_s16(const struct nn_softmax *op, const int8_t *in, int16_t *out);

#endif
