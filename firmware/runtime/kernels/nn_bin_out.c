/* Output stages of binary layers, portable C. SPDX-License-Identifier: Apache-2.0 */
#include "nn_bin_out.h"

#include "nn_requant.h"

void nn_bin_out_signs(const struct nn_bin_out *op, const int32_t *acc, void *out)
{
    const int32_t *threshold = op->thresholds;
    uint32_t *words = out;

    for (int32_t left = op->channels; left > 0; left -= 32) {
        const int32_t bits = left < 32 ? left : 32;
        uint32_t word = 0;

        /* Channels enter at the top and move down: no shift by a variable. */
        for (int32_t i = 0; i < bits; i++) {
            word >>= 1;
            if (*acc++ < *threshold++) {
                word |= 0x80000000u;
            }
        }
        *words++ = word >> (32 - bits);
    }
}

void nn_bin_out_s8(const struct nn_bin_out *op, const int32_t *acc, void *out)
{
    int8_t *values = out;

    for (int32_t c = 0; c < op->channels; c++) {
        const int32_t sum = (int32_t)((uint32_t)acc[c] << op->acc_shift) + op->bias[c];
        const int32_t scaled =
            nn_requant(sum, op->multipliers[c], op->shifts[c]) + op->out_offset;

        values[c] = (int8_t)nn_requant_clamp(scaled, op->act_min, op->act_max);
    }
}
