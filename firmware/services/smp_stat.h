/* SMP group 2, stat: numbers that are counted from start-up. SPDX-License-Identifier: Apache-2.0 */
#ifndef SMP_STAT_H
#define SMP_STAT_H

#include "smp.h"

struct smp_stat_field {
    const char *name;
    const uint32_t *value;
};

struct smp_stat {
    const char *name;
    const struct smp_stat_field *fields;
    uint32_t count;
};

extern const struct smp_group smp_stat_group;

/* What the group tells; call once. */
void smp_stat_start(const struct smp_stat *stats, uint32_t count);

#endif
