/* What nn_scalar_product adds up. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_SCALAR_SUM_H
#define NN_SCALAR_SUM_H

#include "nn_scalar_product.h"

/* Of some channels, the words of each triple. The assembly knows the order. */
struct nn_scalar_sums {
    uint32_t of[NN_SCALAR_CHANNELS][2 * NN_SCALAR_TRIPLES];
};

#endif
