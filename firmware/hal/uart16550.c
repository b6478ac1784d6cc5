/* A 16550 UART, polled. SPDX-License-Identifier: Apache-2.0 */
#include "uart16550.h"

enum { DATA = 0, INTERRUPTS = 1, FIFO = 2, LINE_CONTROL = 3, LINE_STATUS = 5 };
enum { DIVISOR_LOW = 0, DIVISOR_HIGH = 1 }; /* while DIVISOR_ACCESS is set */

#define DIVISOR_ACCESS 0x80u
#define EIGHT_BITS 0x03u
#define FIFO_ON_CLEARED 0x07u
#define STATUS_RECEIVED 0x01u
#define STATUS_TX_EMPTY 0x20u

void uart16550_start(const struct uart16550 *u, uint16_t divisor)
{
    u->put(INTERRUPTS, 0);
    u->put(LINE_CONTROL, DIVISOR_ACCESS | EIGHT_BITS);
    u->put(DIVISOR_LOW, (uint8_t)divisor);
    u->put(DIVISOR_HIGH, (uint8_t)(divisor >> 8));
    u->put(LINE_CONTROL, EIGHT_BITS);
    u->put(FIFO, FIFO_ON_CLEARED);
}

int uart16550_read(const struct uart16550 *u)
{
    return u->get(LINE_STATUS) & STATUS_RECEIVED ? u->get(DATA) : -1;
}

void uart16550_write(const struct uart16550 *u, const void *bytes, size_t len)
{
    for (const uint8_t *byte = bytes; len > 0; len--) {
        while (!(u->get(LINE_STATUS) & STATUS_TX_EMPTY)) {
        }
        u->put(DATA, *byte++);
    }
}
