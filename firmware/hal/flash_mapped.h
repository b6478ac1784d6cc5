/* Flash that the processor sees at BOARD_FLASH_BASE. SPDX-License-Identifier: Apache-2.0 */
#ifndef FLASH_MAPPED_H
#define FLASH_MAPPED_H

#include "flash.h"

/* Read where it is mapped; changed by the two functions below. */
extern const struct hal_flash flash_mapped;

/* The chip's. Requests have been checked: inside, in whole units, and no bit from 0 to 1. */
int flash_mapped_program(uint32_t address, const uint8_t *bytes, uint32_t len);
int flash_mapped_erase(uint32_t address);

#endif
