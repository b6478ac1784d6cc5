/* Flash that the processor sees at BOARD_FLASH_BASE. SPDX-License-Identifier: Apache-2.0 */
#include "flash_mapped.h"

#include <string.h>

#include "board_config.h"
#include "flash_check.h"

#ifdef BOARD_FLASH_BASE

__attribute__((weak)) void flash_mapped_fetch(uint32_t address, uint8_t *bytes, uint32_t len)
{
    memcpy(bytes, (const void *)(uintptr_t)(BOARD_FLASH_BASE + address), len);
}

void flash_mapped_fetch_ecc(uint32_t address, uint8_t *bytes, uint32_t len,
                            int (*copy_is_sound)(uint32_t address, void *bytes, uint32_t len))
{
    if (copy_is_sound(address, bytes, len)) {
        return;
    }
    while (len > 0) {
        const uint32_t room = BOARD_FLASH_PROGRAM_BYTES - address % BOARD_FLASH_PROGRAM_BYTES;
        const uint32_t part = len < room ? len : room;

        if (!copy_is_sound(address, bytes, part)) {
            memset(bytes, 0, part);
        }
        address += part;
        bytes += part;
        len -= part;
    }
}

static int read(uint32_t address, void *bytes, uint32_t len)
{
    const int err = flash_check_read(&flash_mapped, address, len);

    if (!err) {
        flash_mapped_fetch(address, bytes, len);
    }
    return err;
}

static int program(uint32_t address, const void *bytes, uint32_t len)
{
    const int err = flash_check_program(&flash_mapped, address, bytes, len);

    return err ? err : flash_mapped_program(address, bytes, len);
}

static int erase(uint32_t address)
{
    const int err = flash_check_erase(&flash_mapped, address);

    return err ? err : flash_mapped_erase(address);
}

const struct hal_flash flash_mapped = {
    .read = read,
    .program = program,
    .erase = erase,
    .bytes = BOARD_FLASH_BYTES,
    .erase_bytes = BOARD_FLASH_ERASE_BYTES,
    .program_bytes = BOARD_FLASH_PROGRAM_BYTES,
};

#endif
