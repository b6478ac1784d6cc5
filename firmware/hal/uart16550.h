/* A 16550 UART; the chip says where its registers are and how far apart.
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

/* The same with uart_ring.h between: from uart16550_listen() on, uart16550_interrupt() is what the
 * chip calls at each of the UART's interrupts, and uart16550_kept() reads. */
void uart16550_listen(const struct uart16550 *u);
void uart16550_interrupt(const struct uart16550 *u);
int uart16550_kept(const struct uart16550 *u);

#endif
