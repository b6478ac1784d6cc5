/* Fully connected layer, portable C. SPDX-License-Identifier: Apache-2.0 */
#include "nn_fc.h"

#include "nn_requant.h"

void nn_fc_s8(const struct nn_fc *op, const int8_t *in, int8_t *out)
{
    for (int32_t batch = 0; batch < op->batches; batch++) {
        const int8_t *weights = op->weights;

        for (int32_t channel = 0; channel < op->out_depth; channel++) {
            const int32_t scale = op->per_channel ? channel : 0;
            int32_t acc = op->bias ? op->bias[channel] : 0;

            for (int32_t i = 0; i < op->in_depth; i++) {
                acc += (in[i] + op->in_offset) * (weights[i] + op->filter_offset);
            }
            acc = nn_requant(acc, op->multipliers[scale], op->shifts[scale]) + op->out_offset;
            *out++ = (int8_t)nn_requant_clamp(acc, op->act_min, op->act_max);
            weights += op->in_depth;
        }
        in += op->in_depth;
    }
}
