/* The board's slots, counters and keys as firmware/boot wants them, for the bootloader and for
 * the application alike. SPDX-License-Identifier: Apache-2.0 */
#ifndef BOOT_SETUP_H
#define BOOT_SETUP_H

#include "boot.h"

/* Fills in what the board's profile and the build's keys say. */
void boot_setup(struct boot_config *config);

/* The same and what only a bootloader does: swap slots, decrypt. The decryption key is read from
 * storage, once; without one, encrypted images are refused with BOOT_ENOKEY. */
void boot_setup_to_run(struct boot_config *config);

/* Forgets the decryption key; the configuration is of no use to boot_run() any more. */
void boot_setup_wipe(void);

#endif
