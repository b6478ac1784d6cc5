/* Weights times a vector on MVE. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_SUMS_MVE_H
#define NN_SUMS_MVE_H

#include "nn_sums.h"

/* MVE: blocks of 8 channels by 16 inputs. scratch: depth, rounded up to 16; not used where it is
 * that. */
nn_sums_fn nn_sums_mve;

#endif
