/* What nn_scalar_product adds up. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_SCALAR_SUM_H
#define NN_SCALAR_SUM_H

#include "nn_scalar_product.h"

/* Of one channel and a pair of pixels: all that was added, modulo 2^32, and the upper sum
 * alone. The lower one is the rest. */
struct nn_scalar_sum {
    uint32_t all;
    int32_t upper;
};

/* Of two channels. The assembly knows these offsets. */
struct nn_scalar_sums {
    struct nn_scalar_sum a[NN_SCALAR_PAIRS];
    struct nn_scalar_sum b[NN_SCALAR_PAIRS];
};

#endif
