/* Weights times a vector by packed 16-bit products. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_SUMS_DSP_H
#define NN_SUMS_DSP_H

#include "nn_sums.h"

/* Packed 16-bit products: blocks of 4 channels by 4 inputs. scratch: the inputs as halves, 2 *
 * depth, rounded up to 8. */
nn_sums_fn nn_sums_dsp;

#endif
