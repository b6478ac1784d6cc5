/* SMP group 64, the model: what it is, inference on inputs that are sent, its self-test.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Its reasons are the numbers of status.h without their sign. While the model runs, for the other
 * protocols, all but its identity and its tensors are SMP_EBUSY. */
#ifndef SMP_MODEL_H
#define SMP_MODEL_H

#include "smp.h"

extern const struct smp_group smp_model_group;

#endif
