/* Fully connected layer as a matrix product of CMSIS-NN. SPDX-License-Identifier: Apache-2.0 */
#include "nn_cmsis_fc.h"

#define BLOCK 32 /* outputs at a time: the product wants a multiplier and a shift for each */

static void multiply(const struct nn_cmsis_fc *op, const cmsis_nn_per_channel_quant_params *quant,
                     const int8_t *in, int32_t first, int32_t count, int8_t *out)
{
    const cmsis_nn_context none = { NULL, 0 };
    const cmsis_nn_dims in_dims = { 1, 1, 1, op->in_depth };
    const cmsis_nn_dims filter_dims = { count, 1, 1, op->in_depth };
    const cmsis_nn_dims bias_dims = { 1, 1, 1, count };
    const cmsis_nn_dims out_dims = { 1, 1, 1, count };

    (void)arm_convolve_1x1_s8_fast(&none, &op->params, quant, &in_dims, in, &filter_dims,
                                   op->weights + first * op->in_depth, &bias_dims,
                                   op->bias ? op->bias + first : NULL, &out_dims, out);
}

void nn_cmsis_fc_s8(const struct nn_cmsis_fc *op, const int8_t *in, int8_t *out)
{
    int32_t multipliers[BLOCK];
    int32_t shifts[BLOCK];
    const cmsis_nn_per_channel_quant_params quant = { multipliers, shifts };

    for (int32_t i = 0; i < BLOCK; i++) {
        multipliers[i] = op->multiplier;
        shifts[i] = op->shift;
    }
    for (int32_t batch = 0; batch < op->batches; batch++) {
        for (int32_t first = 0; first < op->out_depth; first += BLOCK) {
            const int32_t left = op->out_depth - first;
            const int32_t count = left < BLOCK ? left : BLOCK;

            multiply(op, &quant, in, first, count, out);
            out += count;
        }
        in += op->in_depth;
    }
}
