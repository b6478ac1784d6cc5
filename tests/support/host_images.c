/* The images of the build machine: the capsule is linked in, no bootloader ran before.
 * SPDX-License-Identifier: Apache-2.0 */
#include "images.h"
#include "model.h"
#include "status.h"

void images_start(void)
{
    (void)model_mount(&capsule_table);
}

int images_confirm(void)
{
    return STATUS_OK;
}

void images_tell(void)
{
}
