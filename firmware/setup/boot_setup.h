/* The board's slots, counters and keys as firmware/boot wants them, for the bootloader and for
 * the application alike. SPDX-License-Identifier: Apache-2.0 */
#ifndef BOOT_SETUP_H
#define BOOT_SETUP_H

#include "boot.h"

/* Fills in what the board's profile and the build's keys say. */
void boot_setup(struct boot_config *config);

#endif
