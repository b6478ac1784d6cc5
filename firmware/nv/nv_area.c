/* A part of the flash with its borders guarded. SPDX-License-Identifier: Apache-2.0 */
#include "nv_area.h"

#include <string.h>

#define READ_BYTES 128u

static int is_inside(const struct nv_area *area, uint32_t offset, uint32_t len)
{
    return offset <= area->bytes && len <= area->bytes - offset;
}

int nv_area_check(const struct nv_area *area)
{
    const struct hal_flash *flash = area->flash;

    if (flash->program_bytes == 0 || flash->program_bytes > NV_AREA_MAX_PROGRAM_BYTES
        || flash->erase_bytes == 0 || flash->erase_bytes % flash->program_bytes != 0
        || area->start % flash->erase_bytes != 0 || area->bytes % flash->erase_bytes != 0) {
        return FLASH_EALIGN;
    }
    if (area->start > flash->bytes || area->bytes > flash->bytes - area->start) {
        return FLASH_EBOUNDS;
    }
    return 0;
}

int nv_area_read(const struct nv_area *area, uint32_t offset, void *bytes, uint32_t len)
{
    if (!is_inside(area, offset, len)) {
        return FLASH_EBOUNDS;
    }
    return area->flash->read(area->start + offset, bytes, len);
}

int nv_area_program(const struct nv_area *area, uint32_t offset, const void *bytes,
                    uint32_t len)
{
    const struct hal_flash *flash = area->flash;
    const uint8_t *p = bytes;
    uint8_t back[NV_AREA_MAX_PROGRAM_BYTES];

    if (!is_inside(area, offset, len)) {
        return FLASH_EBOUNDS;
    }
    if (offset % flash->program_bytes != 0 || len % flash->program_bytes != 0) {
        return FLASH_EALIGN;
    }
    int err = flash->program(area->start + offset, bytes, len);

    if (err) {
        return err;
    }
    for (uint32_t at = 0; at < len; at += flash->program_bytes) {
        err = flash->read(area->start + offset + at, back, flash->program_bytes);
        if (err) {
            return err;
        }
        if (memcmp(back, p + at, flash->program_bytes) != 0) {
            return FLASH_EVERIFY;
        }
    }
    return 0;
}

int nv_area_erase(const struct nv_area *area, uint32_t offset)
{
    const struct hal_flash *flash = area->flash;

    if (!is_inside(area, offset, flash->erase_bytes)) {
        return FLASH_EBOUNDS;
    }
    if (offset % flash->erase_bytes != 0) {
        return FLASH_EALIGN;
    }
    const int err = flash->erase(area->start + offset);

    if (err) {
        return err;
    }
    const int erased = nv_area_is_erased(area, offset, flash->erase_bytes);

    return erased == 0 ? FLASH_EVERIFY : (erased < 0 ? erased : 0);
}

int nv_area_is_erased(const struct nv_area *area, uint32_t offset, uint32_t len)
{
    uint8_t bytes[READ_BYTES];

    while (len > 0) {
        const uint32_t part = len < sizeof bytes ? len : (uint32_t)sizeof bytes;
        const int err = nv_area_read(area, offset, bytes, part);

        if (err) {
            return err;
        }
        uint32_t ones = 0xff;

        for (uint32_t i = 0; i < part; i++) {
            ones &= bytes[i];
        }
        if (ones != 0xff) {
            return 0;
        }
        offset += part;
        len -= part;
    }
    return 1;
}
