/* Serial NOR flash with 3-byte addresses. SPDX-License-Identifier: Apache-2.0 */
#ifndef SPI_NOR_H
#define SPI_NOR_H

#include <stdint.h>

#include "flash.h"

struct spi_nor {
    /* Selects the chip for `frames` bytes, which must all follow: some controllers count. */
    void (*begin)(uint32_t frames);
    void (*put)(uint8_t byte);
    uint8_t (*get)(void);
    void (*end)(void);
    uint8_t erase_command; /* for a unit of erase_bytes */
};

/* Lifts the write protection that some chips have after power-on. */
void spi_nor_start(const struct spi_nor *nor);

/* As hal_flash's functions; they enforce what flash.h says. */
int spi_nor_read(const struct spi_nor *nor, const struct hal_flash *flash, uint32_t address,
                 void *bytes, uint32_t len);
int spi_nor_program(const struct spi_nor *nor, const struct hal_flash *flash,
                    uint32_t address, const void *bytes, uint32_t len);
int spi_nor_erase(const struct spi_nor *nor, const struct hal_flash *flash, uint32_t address);

#define SPI_NOR_ERASE_4K 0x20u
#define SPI_NOR_ERASE_64K 0xd8u

#endif
