/* What every flash driver asks of a request before it touches the chip.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef FLASH_CHECK_H
#define FLASH_CHECK_H

#include "flash.h"

/* 0, or FLASH_EBOUNDS unless address to address + len lies in the flash. */
int flash_check_read(const struct hal_flash *flash, uint32_t address, uint32_t len);

/* Also FLASH_EALIGN unless it is whole program units, and FLASH_EVERIFY if a bit would have to go
 * from 0 to 1, which only an erase does: some chips ignore that, some virtual ones do it. */
int flash_check_program(const struct hal_flash *flash, uint32_t address, const void *bytes,
                        uint32_t len);

/* 0, or FLASH_EBOUNDS or FLASH_EALIGN unless an erase unit starts at address. */
int flash_check_erase(const struct hal_flash *flash, uint32_t address);

#endif
