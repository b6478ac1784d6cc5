/* Serial NOR flash with 3-byte addresses. SPDX-License-Identifier: Apache-2.0
 * Commands: Winbond W25Q32JV data sheet, 8.1.2; Spansion S25FL128S data sheet, 9. */
#include "spi_nor.h"

#include "board_config.h"
#include "flash_check.h"

#ifdef BOARD_FLASH_BASE

#define WRITE_STATUS 0x01u
#define PAGE_PROGRAM 0x02u
#define READ_DATA 0x03u
#define READ_STATUS 0x05u
#define WRITE_ENABLE 0x06u

#define STATUS_BUSY 0x01u
#define STATUS_PROTECTED 0x1cu /* block protection bits 2 to 0 */

#define PAGE_BYTES 256u
#define READ_CHUNK_BYTES 1024u /* keeps frame counts within the 16 bits of small controllers */
#define ADDRESSED_FRAMES 4u    /* a command and its address */

static void command(uint8_t code)
{
    spi_nor.begin(1);
    spi_nor.put(code);
    spi_nor.end();
}

static void address_command(uint8_t code, uint32_t address, uint32_t data_frames)
{
    spi_nor.begin(ADDRESSED_FRAMES + data_frames);
    spi_nor.put(code);
    spi_nor.put((uint8_t)(address >> 16));
    spi_nor.put((uint8_t)(address >> 8));
    spi_nor.put((uint8_t)address);
}

static uint8_t status(void)
{
    spi_nor.begin(2);
    spi_nor.put(READ_STATUS);
    const uint8_t value = spi_nor.get();

    spi_nor.end();
    return value;
}

static void wait(void)
{
    while (status() & STATUS_BUSY) {
    }
}

void spi_nor_start(void)
{
    wait(); /* a reset may have come in the middle of an erase */
    if (status() & STATUS_PROTECTED) {
        command(WRITE_ENABLE);
        spi_nor.begin(2);
        spi_nor.put(WRITE_STATUS);
        spi_nor.put(0);
        spi_nor.end();
        wait();
    }
}

static int flash_read(uint32_t address, void *bytes, uint32_t len)
{
    const int err = flash_check_read(&spi_nor_flash, address, len);
    uint8_t *p = bytes;

    while (!err && len > 0) {
        const uint32_t part = len < READ_CHUNK_BYTES ? len : READ_CHUNK_BYTES;

        address_command(READ_DATA, address, part);
        for (uint32_t i = 0; i < part; i++) {
            *p++ = spi_nor.get();
        }
        spi_nor.end();
        address += part;
        len -= part;
    }
    return err;
}

static int flash_program(uint32_t address, const void *bytes, uint32_t len)
{
    const int err = flash_check_program(&spi_nor_flash, address, bytes, len);
    const uint8_t *p = bytes;

    while (!err && len > 0) {
        const uint32_t room = PAGE_BYTES - address % PAGE_BYTES;
        const uint32_t part = len < room ? len : room;

        command(WRITE_ENABLE);
        address_command(PAGE_PROGRAM, address, part);
        for (uint32_t i = 0; i < part; i++) {
            spi_nor.put(*p++);
        }
        spi_nor.end();
        wait();
        address += part;
        len -= part;
    }
    return err;
}

static int flash_erase(uint32_t address)
{
    const int err = flash_check_erase(&spi_nor_flash, address);

    if (!err) {
        command(WRITE_ENABLE);
        address_command(spi_nor.erase_command, address, 0);
        spi_nor.end();
        wait();
    }
    return err;
}

const struct hal_flash spi_nor_flash = {
    .read = flash_read,
    .program = flash_program,
    .erase = flash_erase,
    .bytes = BOARD_FLASH_BYTES,
    .erase_bytes = BOARD_FLASH_ERASE_BYTES,
    .program_bytes = BOARD_FLASH_PROGRAM_BYTES,
};

#endif
