/* A serial NOR flash with 3-byte addresses, which is the board's. SPDX-License-Identifier: Apache-2.0 */
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

/* The chip's own. */
extern const struct spi_nor spi_nor;

/* Lifts the write protection that some chips have after power-on. */
void spi_nor_start(void);

/* The chip's, as every layer above sees it: it enforces what flash.h says. */
extern const struct hal_flash spi_nor_flash;

#define SPI_NOR_ERASE_4K 0x20u
#define SPI_NOR_ERASE_64K 0xd8u

#endif
