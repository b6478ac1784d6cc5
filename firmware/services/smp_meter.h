/* SMP group 65, prepaid queries. SPDX-License-Identifier: Apache-2.0 */
#ifndef SMP_METER_H
#define SMP_METER_H

#include "meter.h"
#include "smp.h"

/* Why a command of this group is refused. */
enum smp_meter_rc {
    SMP_METER_EMPTY = 1, /* METER_EEMPTY; the others likewise, in their order */
    SMP_METER_IDENTITY = 13,
    SMP_METER_FLASH = 14,     /* the flash failed */
    SMP_METER_UNMETERED = 15, /* the model in service is not metered */
};

extern const struct smp_group smp_meter_group;

/* What is served; null: the model in service is not metered. */
void smp_meter_start(struct meter *meter);

#endif
