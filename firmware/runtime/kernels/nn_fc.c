/* Fully connected layer, portable C. SPDX-License-Identifier: Apache-2.0 */
#include "nn_fc.h"

#include "nn_dot.h"
#include "nn_requant.h"

static int32_t sum(const int8_t *in, int32_t n)
{
    int32_t total = 0;

    for (int32_t i = 0; i < n; i++) {
        total += in[i];
    }
    return total;
}

void nn_fc_s8(const struct nn_fc *op, const int8_t *in, int8_t *out)
{
    for (int32_t batch = 0; batch < op->batches; batch++) {
        /* Weights with a zero point are rare; without one the sum is not needed. */
        const int32_t shared =
            op->filter_offset ? op->filter_offset * sum(in, op->in_depth) : 0;

        for (int32_t channel = 0; channel < op->out_depth; channel += 2) {
            /* An odd last channel runs beside itself. */
            const int32_t other = channel + 1 < op->out_depth ? channel + 1 : channel;
            const struct nn_dot_pair start = { op->bias[channel] + shared,
                                               op->bias[other] + shared };
            const struct nn_dot_pair acc =
                nn_dot_pair_s8(start, in, 0, op->weights + channel * op->in_depth,
                               op->weights + other * op->in_depth, op->in_depth);

            out[channel] =
                nn_requant_s8(acc.a, op->multipliers[channel], op->shifts[channel],
                              op->out_offset, op->act_min, op->act_max);
            out[other] = nn_requant_s8(acc.b, op->multipliers[other], op->shifts[other],
                                       op->out_offset, op->act_min, op->act_max);
        }
        in += op->in_depth;
        out += op->out_depth;
    }
}
