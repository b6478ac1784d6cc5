/* A 16550 UART, polled; the chip says where its registers are and how far apart.
 * SPDX-License-Identifier: Apache-2.0
 * Registers: National Semiconductor PC16550D data sheet. */
#ifndef UART16550_H
#define UART16550_H

#include <stddef.h>
#include <stdint.h>

struct uart16550 {
    uint8_t (*get)(uint32_t index); /* reads register 0 to 7 */
    void (*put)(uint32_t index, uint8_t value);
};

/* 8 data bits, no parity, FIFOs on. divisor = input clock / (16 * baud), at least 1. */
void uart16550_start(const struct uart16550 *u, uint16_t divisor);

/* As hal_uart's read and write. */
int uart16550_read(const struct uart16550 *u);
void uart16550_write(const struct uart16550 *u, const void *bytes, size_t len);

#endif
