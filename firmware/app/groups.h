/* The SMP groups that this application serves. SPDX-License-Identifier: Apache-2.0 */
#ifndef GROUPS_H
#define GROUPS_H

#include <stdint.h>

#include "smp.h"

extern const struct smp_group *const groups[];
extern const uint32_t group_count;

#endif
