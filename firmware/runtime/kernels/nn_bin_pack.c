/* int8 to signs and back, portable C. SPDX-License-Identifier: Apache-2.0 */
#include "nn_bin_pack.h"

void nn_bin_pack(const struct nn_bin_pack *op, const int8_t *in, uint32_t *out)
{
    for (int32_t pixel = 0; pixel < op->pixels; pixel++) {
        const int16_t *threshold = op->thresholds;
        const uint32_t *invert = op->invert;

        for (int32_t left = op->channels; left > 0; left -= 32) {
            const int32_t bits = left < 32 ? left : 32;
            uint32_t word = 0;

            for (int32_t i = 0; i < bits; i++) {
                word >>= 1;
                if (*in++ < *threshold) {
                    word |= 0x80000000u;
                }
                threshold += op->per_channel;
            }
            word >>= 32 - bits;
            *out++ = invert ? word ^ *invert++ : word;
        }
    }
}

void nn_bin_unpack(const struct nn_bin_unpack *op, const uint32_t *in, int8_t *out)
{
    for (int32_t pixel = 0; pixel < op->pixels; pixel++) {
        for (int32_t left = op->channels; left > 0; left -= 32) {
            const int32_t bits = left < 32 ? left : 32;
            uint32_t word = *in++;

            for (int32_t i = 0; i < bits; i++) {
                *out++ = (int8_t)((word & 1u) ? op->minus : op->plus);
                word >>= 1;
            }
        }
    }
}
