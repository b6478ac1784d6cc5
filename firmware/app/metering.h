/* The prepaid queries of the capsule in service. SPDX-License-Identifier: Apache-2.0 */
#ifndef METERING_H
#define METERING_H

#include "capsule.h"
#include "meter.h"

/* Opens the accounts of the capsule in service, if it is metered. A capsule that is not costs
 * nothing from here on, no write to flash either. */
void metering_start(const struct capsule *capsule);

/* The meter, for the application's own code to redeem and ask; null if the capsule in service is
 * not metered. It may be called between two layers, too: what runs is paid, and metering_charge()
 * looks at the accounts anew before the next one. Not from an interrupt: it may meet itself there. */
struct meter *metering(void);

/* The storage it keeps its book in, which is mounted once; null where it has none open. */
struct nv_kv *metering_storage(void);

/* Pays for one inference; call it before. STATUS_OK, at once where nothing is metered; STATUS_EEMPTY,
 * STATUS_EWORN, or STATUS_EMETER for whatever else is wrong. */
int metering_charge(void);

#endif
