/* Fully connected layer for cores without packed products.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_SCALAR_FC_H
#define NN_SCALAR_FC_H

#include "nn_scalar.h"

/* Channels at a time: what the registers hold. plan/kernels/scalar.py, FC_CHANNELS. */
#if defined(__riscv) || defined(__x86_64__)
#define NN_SCALAR_FC_CHANNELS 8
#else
#define NN_SCALAR_FC_CHANNELS 4
#endif

struct nn_scalar_fc {
    int32_t batches;
    int32_t in_depth;
    int32_t out_depth;
    int8_t act_min;
    int8_t act_max;
    int8_t is_short;        /* nn_scalar_requant */
    const int8_t *weights;   /* [blocks of channels][in_depth][NN_SCALAR_FC_CHANNELS]; 0
                              * behind the last channel */
    const int32_t *channels; /* [blocks * NN_SCALAR_FC_CHANNELS][NN_SCALAR_WORDS] */
};

/* A block's sums: where they start, `apart` words from each other, and the products of [x, end).
 * Returns behind their weights. */
static inline __attribute__((always_inline)) const int8_t *
nn_scalar_fc_block(int32_t *sums, const int32_t *starts, int32_t apart, const int8_t *x,
                   const int8_t *end, const int8_t *w)
{
    _Pragma("GCC unroll 8")
    for (int32_t c = 0; c < NN_SCALAR_FC_CHANNELS; c++) {
        sums[c] = starts[c * apart];
    }
    _Pragma("GCC unroll 8")
    for (; x != end; x++, w += NN_SCALAR_FC_CHANNELS) {
        _Pragma("GCC unroll 8")
        for (int32_t c = 0; c < NN_SCALAR_FC_CHANNELS; c++) {
            sums[c] += *x * w[c];
        }
    }
    return w;
}

/* in [batches][in_depth], out [batches][out_depth]; no overlap. */
void nn_scalar_fc_s8(const struct nn_scalar_fc *op, const int8_t *in, int8_t *out);

#endif
