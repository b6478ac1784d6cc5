/* Parallel NOR flash with Intel's command set, memory-mapped. SPDX-License-Identifier: Apache-2.0
 * Commands: Intel, "Common Flash Interface and Command Sets" (AP-646); Intel StrataFlash data
 * sheet 290667, "Command definitions". */
#include "cfi.h"

#include <string.h>

#include "flash.h"

#define CHUNK_BYTES 64u
#define RAM_CODE __attribute__((section(".ramfunc"), noinline))
#define INLINE static inline __attribute__((always_inline))

/* For both chips of a 4-byte bus; a 2-byte bus takes the low half. */
#define COMMAND_PROGRAM 0x00400040u
#define COMMAND_ERASE 0x00200020u
#define COMMAND_CONFIRM 0x00d000d0u
#define COMMAND_CLEAR_STATUS 0x00500050u
#define COMMAND_UNLOCK 0x00600060u
#define COMMAND_READ 0x00ff00ffu
#define STATUS_READY 0x00800080u
#define STATUS_ERRORS 0x003a003au /* erase, program, voltage, locked */

INLINE void put(struct cfi cfi, uint32_t offset, uint32_t value)
{
    if (cfi.width == 2) {
        *(volatile uint16_t *)(uintptr_t)(cfi.base + offset) = (uint16_t)value;
    } else {
        *(volatile uint32_t *)(uintptr_t)(cfi.base + offset) = value;
    }
}

INLINE uint32_t get(struct cfi cfi, uint32_t offset)
{
    if (cfi.width == 2) {
        return *(volatile const uint16_t *)(uintptr_t)(cfi.base + offset);
    }
    return *(volatile const uint32_t *)(uintptr_t)(cfi.base + offset);
}

/* Waits for the chips, which show their status. 0 or FLASH_EIO. */
INLINE int wait(struct cfi cfi, uint32_t offset)
{
    const uint32_t ready = cfi.width == 2 ? STATUS_READY & 0xffffu : STATUS_READY;
    uint32_t status;

    do {
        status = get(cfi, offset);
    } while ((status & ready) != ready);
    return status & STATUS_ERRORS ? FLASH_EIO : 0;
}

INLINE void back_to_reading(struct cfi cfi, uint32_t offset)
{
    put(cfi, offset, COMMAND_CLEAR_STATUS);
    put(cfi, offset, COMMAND_READ);
}

RAM_CODE static int program(struct cfi cfi, uint32_t offset, const uint8_t *p,
                            uint32_t len)
{
    int err = 0;

    for (uint32_t at = 0; at < len && !err; at += cfi.width) {
        uint32_t word = (uint32_t)p[at] | (uint32_t)p[at + 1] << 8;

        if (cfi.width == 4) {
            word |= (uint32_t)p[at + 2] << 16 | (uint32_t)p[at + 3] << 24;
        }
        put(cfi, offset + at, COMMAND_PROGRAM);
        put(cfi, offset + at, word);
        err = wait(cfi, offset + at);
    }
    back_to_reading(cfi, offset);
    return err;
}

int cfi_program(struct cfi cfi, uint32_t offset, const void *bytes, uint32_t len)
{
    const uint8_t *p = bytes;
    uint8_t chunk[CHUNK_BYTES]; /* the caller's may lie in the chip itself */

    for (uint32_t at = 0; at < len; at += CHUNK_BYTES) {
        const uint32_t part = len - at < CHUNK_BYTES ? len - at : CHUNK_BYTES;

        memcpy(chunk, p + at, part);
        const int err = program(cfi, offset + at, chunk, part);

        if (err) {
            return err;
        }
    }
    return 0;
}

RAM_CODE int cfi_erase(struct cfi cfi, uint32_t offset)
{
    put(cfi, offset, COMMAND_UNLOCK); /* blocks of some chips are locked at power-on */
    put(cfi, offset, COMMAND_CONFIRM);
    put(cfi, offset, COMMAND_ERASE);
    put(cfi, offset, COMMAND_CONFIRM);
    const int err = wait(cfi, offset);

    back_to_reading(cfi, offset);
    return err;
}
