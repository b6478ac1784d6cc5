/* Weights times a vector, some channels at a time. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_SUMS_SCALAR_H
#define NN_SUMS_SCALAR_H

#include "nn_scalar_fc.h"
#include "nn_sums.h"

/* Blocks of NN_SCALAR_FC_CHANNELS channels by 1 input; no scratch. */
nn_sums_fn nn_sums_scalar;

#endif
