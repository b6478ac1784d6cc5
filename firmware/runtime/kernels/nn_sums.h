/* Weights times a vector into sums of 32 bits: what the tuned recurrent layers are made of.
 * SPDX-License-Identifier: Apache-2.0
 *
 * One form for each kind of core, each with its own layout of the weights: nn_sums_dsp.h,
 * nn_sums_mve.h, nn_sums_scalar.h. The host, which lays them out, names the form
 * (plan/kernels/sums.py). */
#ifndef NN_SUMS_H
#define NN_SUMS_H

#include <stdint.h>

struct nn_sums {
    int32_t depth;         /* inputs, > 0 */
    int32_t channels;      /* whole blocks of them: 0 behind the last one */
    const int8_t *weights; /* [blocks][depth / inputs, rounded up][a block's channels][inputs]:
                            * 0 behind the last input */
    const int32_t *starts; /* [channels]: the input's zero point and a bias, folded */
};

/* sums [channels], each the start and the products of in [depth]. Exact: they fit 32
 * bits in any order (graph/ops/common.py, require_accumulator). No overlap. */
typedef void nn_sums_fn(const struct nn_sums *op, const int8_t *in, int32_t *sums,
                        int8_t *scratch);

#endif
