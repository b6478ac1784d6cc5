/* Flash that the processor sees at BOARD_FLASH_BASE. SPDX-License-Identifier: Apache-2.0 */
#ifndef FLASH_MAPPED_H
#define FLASH_MAPPED_H

#include "flash.h"

/* Read where it is mapped; changed by the two functions below. */
extern const struct hal_flash flash_mapped;

/* Copies bytes that are inside. A chip whose flash has an ECC has one of its own: by the next. */
void flash_mapped_fetch(uint32_t address, uint8_t *bytes, uint32_t len);

/* The same, where the chip can say whether the ECC of all that it copied was right. Units of
 * program_bytes where it was not, left so by a power cut, read as zeros: what is neither erased
 * nor a record. */
void flash_mapped_fetch_ecc(uint32_t address, uint8_t *bytes, uint32_t len,
                            int (*copy_is_sound)(uint32_t address, void *bytes, uint32_t len));

/* The chip's. Requests have been checked: inside, in whole units, and no bit from 0 to 1. */
int flash_mapped_program(uint32_t address, const uint8_t *bytes, uint32_t len);
int flash_mapped_erase(uint32_t address);

#endif
