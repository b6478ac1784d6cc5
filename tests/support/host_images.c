/* The images of the build machine: the capsule is linked in, no bootloader ran before; the slots
 * are those of the simulated flash. SPDX-License-Identifier: Apache-2.0 */
#include "boot_bench.h"
#include "images.h"
#include "model.h"
#include "slots.h"
#include "status.h"

void images_start(void)
{
    boot_bench_configure(4096, 4, 8, BOOT_XIP);
    slots_start(&boot_bench, 0);
    (void)model_mount(&capsule_table);
}

int images_confirm(void)
{
    return STATUS_OK;
}

void images_tell(void)
{
}
