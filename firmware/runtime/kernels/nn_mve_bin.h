/* Convolution and dense layer of signs on MVE. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_MVE_BIN_H
#define NN_MVE_BIN_H

#include "nn_bin_conv.h"

#define NN_MVE_BIN_CHANNELS 4

/* Four channels at a time, one a lane. Weights [channels / 4, rounded up][kernel_h][kernel_w]
 * [in_words][4]; sums: whole fours. */
nn_bin_multiply_fn nn_mve_bin_multiply;

#endif
