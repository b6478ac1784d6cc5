/* The SMP groups that this application serves. SPDX-License-Identifier: Apache-2.0 */
#include "groups.h"

#include "board_config.h"
#include "smp_image.h"
#include "smp_meter.h"
#include "smp_model.h"
#include "smp_os.h"
#include "smp_stat.h"
#include "smp_telemetry.h"

const struct smp_group *const groups[] = {
    &smp_os_group,
#if BOARD_SMP_IMAGES
    &smp_image_group,
#endif
    &smp_stat_group,
    &smp_model_group,
#if BOARD_METERING
    &smp_meter_group,
#endif
#if BOARD_TELEMETRY
    &smp_telemetry_group,
#endif
};

const uint32_t group_count = sizeof groups / sizeof groups[0];
