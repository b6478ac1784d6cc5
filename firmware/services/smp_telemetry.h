/* SMP group 66, telemetry and consent. SPDX-License-Identifier: Apache-2.0 */
#ifndef SMP_TELEMETRY_H
#define SMP_TELEMETRY_H

#include "smp.h"
#include "telemetry.h"

/* Why a command of this group is refused. */
enum smp_telemetry_rc {
    SMP_TELEMETRY_NOT_ALLOWED = 1, /* the owner did not */
    SMP_TELEMETRY_FORM = 2,        /* CONSENT_EFORM; those below likewise, in their order */
    SMP_TELEMETRY_IDENTITY = 6,
    SMP_TELEMETRY_FLASH = 7,
    SMP_TELEMETRY_LINK = 8,        /* the owner did not allow it on this link */
    SMP_TELEMETRY_NO_LOG = 9,      /* this board keeps none */
};

extern const struct smp_group smp_telemetry_group;

/* What is served. */
void smp_telemetry_start(struct telemetry *telemetry);

#endif
