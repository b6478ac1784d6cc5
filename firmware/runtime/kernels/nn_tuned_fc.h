/* Fully connected layer for cores with packed 16-bit products.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_TUNED_FC_H
#define NN_TUNED_FC_H

#include "nn_tuned.h"

struct nn_tuned_fc {
    int32_t batches;
    int32_t in_depth;        /* a multiple of 4, > 0 */
    int32_t out_depth;
    int8_t act_min;
    int8_t act_max;
    const int8_t *weights;   /* [quads of channels][in_depth / 4]: of channels a and b the halves
                              * a[k] + 256 b[k] of inputs 0, 2, 1, 3, then of c and d; 0 behind
                              * the last channel */
    const int32_t *channels; /* [quads * 4][NN_TUNED_WORDS]; b starts where a + 256 b does */
};

/* in [batches][in_depth], at a multiple of 4; out [batches][out_depth]; no overlap. */
void nn_tuned_fc_s8(const struct nn_tuned_fc *op, const int8_t *in, int8_t *out);

#endif
