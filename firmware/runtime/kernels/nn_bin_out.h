/* What becomes of one pixel's accumulators in a binary layer: signs or int8.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Sign tensors are rows of 32-bit words: channel c is bit c % 32 of word c / 32, set for
 * -1 and clear for +1; the bits past the last channel are clear. */
#ifndef NN_BIN_OUT_H
#define NN_BIN_OUT_H

#include <stdint.h>

struct nn_bin_out {
    int32_t channels;
    const int32_t *thresholds;  /* signs: [channels]; else null */
    int32_t acc_shift;          /* int8 from here on; in [0, 16] */
    const int32_t *bias;        /* [channels], in units of 2^-acc_shift */
    const int32_t *multipliers; /* [channels] */
    const int32_t *shifts;      /* [channels] */
    int32_t out_offset;
    int32_t act_min;
    int32_t act_max;
};

/* acc [channels], out: one pixel. */
typedef void nn_bin_out_fn(const struct nn_bin_out *op, const int32_t *acc, void *out);

/* out: uint32_t words; channel c is -1 where acc[c] < thresholds[c]. */
void nn_bin_out_signs(const struct nn_bin_out *op, const int32_t *acc, void *out);

/* out: int8_t; requantised as nn_requant.h says, from (acc << acc_shift) + bias.
 * |acc << acc_shift| + |bias| < 2^31: the host checks. */
void nn_bin_out_s8(const struct nn_bin_out *op, const int32_t *acc, void *out);

#endif
