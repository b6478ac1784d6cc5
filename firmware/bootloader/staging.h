/* First images, for a flash that no programmer reaches: they lie where the bootloader does until
 * it has written them. SPDX-License-Identifier: Apache-2.0
 *
 * Which are signed as any, and verified where they then lie. firmware/SPEC.md, "Staging". */
#ifndef STAGING_H
#define STAGING_H

#include <stdint.h>

enum {
    STAGING_EDAMAGED = -60, /* not what the host made; the flash is as it was */
};

/* Writes what is staged to hal.flash, unless the erase unit at `mark` says that it has been. A
 * power cut on the way has it begin again. `room`: bytes that may be read. 0, the above, or an
 * error of the flash. */
int staging_install(const uint8_t *staged, uint32_t room, uint32_t mark);

#endif
