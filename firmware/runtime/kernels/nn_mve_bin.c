/* Convolution and dense layer of signs: a channel in each lane of a vector.
 * SPDX-License-Identifier: Apache-2.0
 *
 * In the compiler's vectors: it has all of MVE that is needed, and elsewhere it takes words. */
#include "nn_mve_bin.h"

/* Weights and sums lie at a multiple of 4 only. */
typedef uint32_t lanes
    __attribute__((vector_size(4 * NN_MVE_BIN_CHANNELS), aligned(4), may_alias));

#define NN_BIN_WORD lanes
#include "nn_bin_count.h"

void nn_mve_bin_multiply(const struct nn_bin_conv *op, const uint32_t *patch,
                         const struct nn_bin_run *runs, const struct nn_bin_run *end,
                         int32_t signs, int32_t *acc)
{
    const int32_t words = op->kernel_h * op->kernel_w * op->in_words;
    const lanes *weights = (const lanes *)(const void *)op->weights;

    for (lanes *to = (lanes *)(void *)acc; to < (lanes *)(void *)(acc + op->sums); to++) {
        lanes differing = { 0 };

        for (const struct nn_bin_run *run = runs; run < end; run++) {
            differing += nn_bin_count_differences(patch + run->first, weights + run->first,
                                                  run->words);
        }
        *to = (uint32_t)signs - 2 * differing;
        weights += words;
    }
}
