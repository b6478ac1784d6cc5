/* int8 to signs and back. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_BIN_PACK_H
#define NN_BIN_PACK_H

#include <stdint.h>

struct nn_bin_pack {
    int32_t pixels;
    int32_t channels;
    const int16_t *thresholds; /* in [-128, 128]: one, or [channels] */
    int32_t per_channel;       /* 0: one threshold for all */
    const uint32_t *invert;    /* one row: bits set turn the sign round; null: none */
};

/* in [pixels][channels], out [pixels][ceil(channels / 32)]; no overlap. A value is -1
 * where it is less than its threshold. */
void nn_bin_pack(const struct nn_bin_pack *op, const int8_t *in, uint32_t *out);

struct nn_bin_unpack {
    int32_t pixels;
    int32_t channels;
    int32_t plus;              /* +1 and -1 as int8 */
    int32_t minus;
};

/* in [pixels][ceil(channels / 32)], out [pixels][channels]; no overlap. */
void nn_bin_unpack(const struct nn_bin_unpack *op, const uint32_t *in, int8_t *out);

#endif
