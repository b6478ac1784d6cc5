/* Statistics of the capsule in service. SPDX-License-Identifier: Apache-2.0 */
#include "observing.h"

#include "board_config.h"

#if BOARD_TELEMETRY
#include "boot.h"
#include "hal.h"
#include "metering.h"
#include "slots.h"
#include "smp_telemetry.h"

static struct telemetry telemetry;
static struct nv_kv own_storage; /* where no meter has opened it */

void observing_start(const struct observed *observed)
{
    struct nv_kv *storage = metering_storage();
    const struct telemetry_facts facts = {
        .firmware = FIRMWARE_VERSION,
        .inferences = observed->inferences,
        .refused = observed->refused,
        .reset_cause = (uint32_t)hal.reset->cause(),
        .verdict = { slots_verdict(BOOT_APP), slots_verdict(BOOT_CAPSULE) },
        .hz = hal.clock->hz,
        .active_uw = BOARD_ACTIVE_UW,
    };

    if (!storage) {
        own_storage = (struct nv_kv){ .area = { hal.flash, BOARD_METER_STORAGE_OFFSET,
                                                BOARD_METER_STORAGE_BYTES } };
        (void)nv_kv_mount(&own_storage); /* one that fails holds nothing: nothing is allowed */
        storage = &own_storage;
    }
    telemetry.consent.storage = storage;
#ifdef BOARD_TELEMETRY_LOG_OFFSET
    telemetry.log.area = (struct nv_area){ hal.flash, BOARD_TELEMETRY_LOG_OFFSET,
                                           BOARD_TELEMETRY_LOG_BYTES };
#endif
    telemetry_start(&telemetry, &facts, observed->capsule, observed->input, observed->output);
    smp_telemetry_start(&telemetry);
}

void observing_before(void)
{
    telemetry_before(&telemetry);
}

void observing_after(uint64_t ticks)
{
    telemetry_after(&telemetry, ticks);
}
#else
void observing_start(const struct observed *observed)
{
    (void)observed;
}

void observing_before(void)
{
}

void observing_after(uint64_t ticks)
{
    (void)ticks;
}
#endif
