/* What every flash driver asks of a request before it touches the chip.
 * SPDX-License-Identifier: Apache-2.0 */
#include "flash_check.h"

#define LOOK_BYTES 64u

int flash_check_read(const struct hal_flash *flash, uint32_t address, uint32_t len)
{
    return address <= flash->bytes && len <= flash->bytes - address ? 0 : FLASH_EBOUNDS;
}

int flash_check_program(const struct hal_flash *flash, uint32_t address, const void *bytes,
                        uint32_t len)
{
    const uint8_t *wanted = bytes;
    uint8_t there[LOOK_BYTES];
    int err = flash_check_read(flash, address, len);

    if (err) {
        return err;
    }
    if (address % flash->program_bytes != 0 || len % flash->program_bytes != 0) {
        return FLASH_EALIGN;
    }
    for (uint32_t at = 0; at < len; at += LOOK_BYTES) {
        const uint32_t part = len - at < LOOK_BYTES ? len - at : LOOK_BYTES;

        err = flash->read(address + at, there, part);
        if (err) {
            return err;
        }
        for (uint32_t i = 0; i < part; i++) {
            if (wanted[at + i] & ~there[i]) {
                return FLASH_EVERIFY;
            }
        }
    }
    return 0;
}

int flash_check_erase(const struct hal_flash *flash, uint32_t address)
{
    const int err = flash_check_read(flash, address, flash->erase_bytes);

    return !err && address % flash->erase_bytes != 0 ? FLASH_EALIGN : err;
}
