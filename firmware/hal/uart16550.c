/* A 16550 UART. SPDX-License-Identifier: Apache-2.0 */
#include "uart16550.h"

#include "uart_ring.h"

enum { DATA = 0, INTERRUPTS = 1, FIFO = 2, LINE_CONTROL = 3, LINE_STATUS = 5 };
enum { DIVISOR_LOW = 0, DIVISOR_HIGH = 1 }; /* while DIVISOR_ACCESS is set */

#define DIVISOR_ACCESS 0x80u
#define EIGHT_BITS 0x03u
#define FIFO_ON_CLEARED 0x07u
#define INTERRUPT_RECEIVED 0x01u
#define STATUS_RECEIVED 0x01u
#define STATUS_OVERRUN 0x02u
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

void uart16550_listen(const struct uart16550 *u)
{
    u->put(INTERRUPTS, INTERRUPT_RECEIVED);
}

void uart16550_interrupt(const struct uart16550 *u)
{
    for (;;) {
        const uint8_t status = u->get(LINE_STATUS);

        if (status & STATUS_OVERRUN) {
            uart_ring_lose();
        }
        if (!(status & STATUS_RECEIVED)) {
            return;
        }
        if (uart_ring_is_full()) {
            u->put(INTERRUPTS, 0);
            uart_ring_pause();
            return;
        }
        uart_ring_put(u->get(DATA));
    }
}

int uart16550_kept(const struct uart16550 *u)
{
    const int byte = uart_ring_take();

    if (byte >= 0 && uart_ring_resumes()) {
        uart16550_listen(u); /* what waits in the FIFO interrupts at once */
    }
    return byte;
}
