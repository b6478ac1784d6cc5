/* A part of the flash with its borders guarded. SPDX-License-Identifier: Apache-2.0 */
#ifndef NV_AREA_H
#define NV_AREA_H

#include <stdint.h>

#include "flash.h"

/* The largest program unit there is a chip for (STM32H7: 32 bytes). */
#define NV_AREA_MAX_PROGRAM_BYTES 32

struct nv_area {
    const struct hal_flash *flash;
    uint32_t start; /* in the flash; a multiple of erase_bytes */
    uint32_t bytes; /* likewise */
};

/* 0, or FLASH_EALIGN or FLASH_EBOUNDS when area and flash do not fit each other. The calls below
 * rely on it having been asked once. */
int nv_area_check(const struct nv_area *area);

/* Offsets count from the area's start, and may be hostile. */
int nv_area_read(const struct nv_area *area, uint32_t offset, void *bytes, uint32_t len);

/* Whole program units, erased ones; reads back and compares: FLASH_EVERIFY. */
int nv_area_program(const struct nv_area *area, uint32_t offset, const void *bytes,
                    uint32_t len);

/* The erase unit at offset. */
int nv_area_erase(const struct nv_area *area, uint32_t offset);

/* 1 if the range reads erased, 0 if not, or an error. A cell torn by a power cut may read
 * erased and not be: only a unit that was erased and not written to since is safe to program. */
int nv_area_is_erased(const struct nv_area *area, uint32_t offset, uint32_t len);

#endif
