/* Arm MPS2 and MPS3 FPGA boards: CMSDK UART, SysTick. SPDX-License-Identifier: Apache-2.0
 * They have no flash that the processor can write: a part of their RAM is used as such, by the
 * rules of NOR flash.
 * Registers: Arm DDI 0479D, "APB UART". */
#include <string.h>

#include "board_config.h"
#include "cortexm.h"
#include "flash_mapped.h"
#include "hal.h"
#include "mmio.h"
#include "noinit.h"
#include "uart_ring.h"

#define UART_DATA 0x00u
#define UART_STATE 0x04u
#define UART_CTRL 0x08u
#define UART_INTSTATUS 0x0cu
#define UART_BAUDDIV 0x10u

#define STATE_TX_FULL 1u
#define STATE_RX_FULL 2u
#define STATE_RX_OVERRUN 8u
#define CTRL_TX_RX 3u
#define CTRL_RX_INTERRUPT 8u
#define INTSTATUS_RX 2u

_Static_assert(BOARD_FLASH_PROGRAM_BYTES == 4, "words are written");

static void port_start(uint32_t base)
{
    mmio_write32(base + UART_BAUDDIV, BOARD_CLOCK_HZ / BOARD_BAUD);
    mmio_write32(base + UART_CTRL, CTRL_TX_RX);
}

static int port_read(uint32_t base)
{
    if (!(mmio_read32(base + UART_STATE) & STATE_RX_FULL)) {
        return -1;
    }
    return (int)(mmio_read32(base + UART_DATA) & 0xffu);
}

static void port_write(uint32_t base, const void *bytes, size_t len)
{
    for (const uint8_t *byte = bytes; len > 0; len--) {
        while (mmio_read32(base + UART_STATE) & STATE_TX_FULL) {
        }
        mmio_write32(base + UART_DATA, *byte++);
    }
}

static int uart_read(void)
{
    return port_read(BOARD_UART_BASE);
}

static void uart_write(const void *bytes, size_t len)
{
    port_write(BOARD_UART_BASE, bytes, len);
}

void cortexm_uart_handler(void)
{
    /* Before the bytes are taken: the next one may raise it again. */
    mmio_write32(BOARD_UART_BASE + UART_INTSTATUS, INTSTATUS_RX);
    for (;;) {
        const uint32_t state = mmio_read32(BOARD_UART_BASE + UART_STATE);

        if (state & STATE_RX_OVERRUN) {
            mmio_write32(BOARD_UART_BASE + UART_STATE, STATE_RX_OVERRUN);
            uart_ring_lose();
        }
        if (!(state & STATE_RX_FULL)) {
            return;
        }
        if (uart_ring_is_full()) {
            mmio_write32(BOARD_UART_BASE + UART_CTRL, CTRL_TX_RX);
            uart_ring_pause();
            return;
        }
        uart_ring_put((uint8_t)mmio_read32(BOARD_UART_BASE + UART_DATA));
    }
}

static int kept_read(void)
{
    const int byte = uart_ring_take();

    if (byte >= 0 && uart_ring_resumes()) {
        mmio_write32(BOARD_UART_BASE + UART_CTRL, CTRL_TX_RX | CTRL_RX_INTERRUPT);
        cortexm_pend_uart(); /* a byte that came before does not interrupt any more */
    }
    return byte;
}

static int radio_read(void)
{
    return port_read(BOARD_RADIO_BASE);
}

static void radio_write(const void *bytes, size_t len)
{
    port_write(BOARD_RADIO_BASE, bytes, len);
}

int flash_mapped_program(uint32_t address, const uint8_t *bytes, uint32_t len)
{
    for (uint32_t at = 0; at < len; at += 4) {
        uint32_t word;

        memcpy(&word, bytes + at, sizeof word);
        mmio_write32(BOARD_FLASH_BASE + address + at, word);
    }
    return 0;
}

int flash_mapped_erase(uint32_t address)
{
    for (uint32_t at = 0; at < BOARD_FLASH_ERASE_BYTES; at += 4) {
        mmio_write32(BOARD_FLASH_BASE + address + at, UINT32_MAX);
    }
    return 0;
}

static const struct hal_uart uart = { .read = uart_read, .write = uart_write };
static const struct hal_uart kept = { .read = kept_read, .write = uart_write };
static const struct hal_uart radio = { .read = radio_read, .write = radio_write };
static const struct hal_clock clock = { .hz = BOARD_CLOCK_HZ, .ticks = cortexm_systick_ticks };
static const struct hal_reset reset = { .cause = noinit_cause, .now = cortexm_reset };
static const struct hal_id id = { .read = hal_no_id };
const struct hal hal = {
    .uart = &uart, .clock = &clock, .reset = &reset, .id = &id, .flash = &flash_mapped,
    .radio = &radio,
};

void hal_init(void)
{
    noinit_take_cause();
    port_start(BOARD_UART_BASE);
    port_start(BOARD_RADIO_BASE);
    cortexm_systick_start();
}

const struct hal_uart *hal_listen(void)
{
    cortexm_listen();
    mmio_write32(BOARD_UART_BASE + UART_CTRL, CTRL_TX_RX | CTRL_RX_INTERRUPT);
    cortexm_pend_uart(); /* for a byte that came before */
    return &kept;
}
