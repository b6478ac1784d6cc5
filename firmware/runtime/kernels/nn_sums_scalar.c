/* Weights times a vector, some channels at a time. SPDX-License-Identifier: Apache-2.0 */
#include "nn_sums_scalar.h"

void nn_sums_scalar(const struct nn_sums *op, const int8_t *in, int32_t *sums, int8_t *scratch)
{
    const int32_t *starts = op->starts;
    const int8_t *w = op->weights;

    (void)scratch;
    for (int32_t left = op->channels; left > 0; left -= NN_SCALAR_FC_CHANNELS) {
        int32_t acc[NN_SCALAR_FC_CHANNELS]; /* in registers, apart from memory */

        w = nn_scalar_fc_block(acc, starts, 1, in, in + op->depth, w);
        _Pragma("GCC unroll 8")
        for (int32_t c = 0; c < NN_SCALAR_FC_CHANNELS; c++) {
            *sums++ = acc[c];
        }
        starts += NN_SCALAR_FC_CHANNELS;
    }
}
