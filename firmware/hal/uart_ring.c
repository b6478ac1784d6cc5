/* Received bytes, kept by an interrupt until they are asked for. SPDX-License-Identifier: Apache-2.0 */
#include "uart_ring.h"

#include "board_config.h"
#include "hal.h"

_Static_assert((BOARD_UART_RING_BYTES & (BOARD_UART_RING_BYTES - 1)) == 0,
               "counts that wrap must go on at the same place");

struct hal_received hal_received;

static volatile uint8_t bytes[BOARD_UART_RING_BYTES];
static volatile uint32_t in, out; /* bytes ever put and taken */
static volatile uint32_t is_paused;

int uart_ring_is_full(void)
{
    return in - out == BOARD_UART_RING_BYTES;
}

void uart_ring_put(uint8_t byte)
{
    bytes[in % BOARD_UART_RING_BYTES] = byte;
    in = in + 1;
    if (in - out > hal_received.most) {
        hal_received.most = in - out;
    }
}

void uart_ring_pause(void)
{
    is_paused = 1;
}

void uart_ring_lose(void)
{
    hal_received.lost++;
}

int uart_ring_take(void)
{
    if (in == out) {
        return -1;
    }
    const uint8_t byte = bytes[out % BOARD_UART_RING_BYTES];

    out = out + 1;
    return byte;
}

int uart_ring_resumes(void)
{
    if (!is_paused) {
        return 0;
    }
    is_paused = 0;
    return 1;
}
