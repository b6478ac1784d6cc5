/* The capsules that a kerneltest firmware runs: generated beside them.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef KERNELTEST_H
#define KERNELTEST_H

#include "capsule.h"

extern const struct capsule *const kerneltest_capsules[];
extern const unsigned kerneltest_count;

#endif
