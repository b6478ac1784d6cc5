/* Serial NOR flash with 3-byte addresses. SPDX-License-Identifier: Apache-2.0
 * Commands: Winbond W25Q32JV data sheet, 8.1.2; Spansion S25FL128S data sheet, 9. */
#include "spi_nor.h"

#include "flash_check.h"

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

static void command(const struct spi_nor *nor, uint8_t code)
{
    nor->begin(1);
    nor->put(code);
    nor->end();
}

static void address_command(const struct spi_nor *nor, uint8_t code, uint32_t address,
                            uint32_t data_frames)
{
    nor->begin(ADDRESSED_FRAMES + data_frames);
    nor->put(code);
    nor->put((uint8_t)(address >> 16));
    nor->put((uint8_t)(address >> 8));
    nor->put((uint8_t)address);
}

static uint8_t status(const struct spi_nor *nor)
{
    nor->begin(2);
    nor->put(READ_STATUS);
    const uint8_t value = nor->get();

    nor->end();
    return value;
}

static void wait(const struct spi_nor *nor)
{
    while (status(nor) & STATUS_BUSY) {
    }
}

void spi_nor_start(const struct spi_nor *nor)
{
    wait(nor); /* a reset may have come in the middle of an erase */
    if (status(nor) & STATUS_PROTECTED) {
        command(nor, WRITE_ENABLE);
        nor->begin(2);
        nor->put(WRITE_STATUS);
        nor->put(0);
        nor->end();
        wait(nor);
    }
}

int spi_nor_read(const struct spi_nor *nor, const struct hal_flash *flash, uint32_t address,
                 void *bytes, uint32_t len)
{
    const int err = flash_check_read(flash, address, len);
    uint8_t *p = bytes;

    while (!err && len > 0) {
        const uint32_t part = len < READ_CHUNK_BYTES ? len : READ_CHUNK_BYTES;

        address_command(nor, READ_DATA, address, part);
        for (uint32_t i = 0; i < part; i++) {
            *p++ = nor->get();
        }
        nor->end();
        address += part;
        len -= part;
    }
    return err;
}

int spi_nor_program(const struct spi_nor *nor, const struct hal_flash *flash,
                    uint32_t address, const void *bytes, uint32_t len)
{
    const int err = flash_check_program(flash, address, bytes, len);
    const uint8_t *p = bytes;

    while (!err && len > 0) {
        const uint32_t room = PAGE_BYTES - address % PAGE_BYTES;
        const uint32_t part = len < room ? len : room;

        command(nor, WRITE_ENABLE);
        address_command(nor, PAGE_PROGRAM, address, part);
        for (uint32_t i = 0; i < part; i++) {
            nor->put(*p++);
        }
        nor->end();
        wait(nor);
        address += part;
        len -= part;
    }
    return err;
}

int spi_nor_erase(const struct spi_nor *nor, const struct hal_flash *flash, uint32_t address)
{
    const int err = flash_check_erase(flash, address);

    if (!err) {
        command(nor, WRITE_ENABLE);
        address_command(nor, nor->erase_command, address, 0);
        nor->end();
        wait(nor);
    }
    return err;
}
