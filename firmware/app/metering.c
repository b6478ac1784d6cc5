/* The prepaid queries of the capsule in service. SPDX-License-Identifier: Apache-2.0 */
#include "metering.h"

#include "board_config.h"
#include "hal.h"
#include "smp_meter.h"
#include "status.h"

/* A board without it still refuses what is metered. */
#if BOARD_METERING
static struct meter meter;
#endif
static int is_metered;

void metering_start(const struct capsule *capsule)
{
    is_metered = capsule->policy != CAPSULE_UNMETERED;
#if BOARD_METERING
    if (is_metered) {
        meter = (struct meter){
            .queries = { .area = { hal.flash, BOARD_COUNTER_QUERIES_OFFSET,
                                   BOARD_COUNTER_QUERIES_BYTES },
                         .endurance_cycles = BOARD_FLASH_ENDURANCE_CYCLES },
            .storage = { .area = { hal.flash, BOARD_METER_STORAGE_OFFSET,
                                   BOARD_METER_STORAGE_BYTES } },
            .otp = hal.otp,
            .queries_per_bit = BOARD_METER_QUERIES_PER_BIT,
        };
        (void)meter_mount(&meter, capsule->model_id, capsule->family); /* kept in meter.status */
    }
#endif
    smp_meter_start(metering());
}

struct meter *metering(void)
{
#if BOARD_METERING
    return is_metered ? &meter : 0;
#else
    return 0;
#endif
}

struct nv_kv *metering_storage(void)
{
    struct meter *const m = metering();

    return m ? &m->storage : 0;
}

int metering_charge(void)
{
    struct meter *const m = metering();

    if (!is_metered) {
        return STATUS_OK;
    }
    switch (m ? meter_charge(m) : METER_ERECORDS) {
    case 0:
        return STATUS_OK;
    case METER_EEMPTY:
        return STATUS_EEMPTY;
    case METER_EWORN:
        return STATUS_EWORN;
    default:
        return STATUS_EMETER;
    }
}
