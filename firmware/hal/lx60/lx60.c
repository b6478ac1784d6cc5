/* Avnet LX60 FPGA board with an LX106 core: 16550 UART, CCOUNT, CFI flash, board
 * registers.
 * SPDX-License-Identifier: Apache-2.0
 * Addresses and registers: QEMU, hw/xtensa/xtfpga.c. */
#include "board_config.h"
#include "cfi.h"
#include "extend.h"
#include "flash_mapped.h"
#include "hal.h"
#include "mmio.h"
#include "noinit.h"
#include "uart16550.h"

#define UART_CLOCK_HZ BOARD_CLOCK_HZ
#define BOARD_RESET 0xfd020010u
#define BOARD_RESET_KEY 0xdeadu

static struct extend cycles;

/* Registers are words; the byte is in the low bits. */
static uint8_t uart_get(uint32_t index)
{
    return (uint8_t)mmio_read32(BOARD_UART_BASE + 4 * index);
}

static void uart_put(uint32_t index, uint8_t value)
{
    mmio_write32(BOARD_UART_BASE + 4 * index, value);
}

static const struct uart16550 port = { .get = uart_get, .put = uart_put };

static int uart_read(void)
{
    return uart16550_read(&port);
}

static void uart_write(const void *bytes, size_t len)
{
    uart16550_write(&port, bytes, len);
}

static uint64_t cycle_ticks(void)
{
    uint32_t count;

    __asm volatile("rsr %0, ccount" : "=r"(count));
    return extend_ticks(&cycles, count);
}

static _Noreturn void reset_now(enum hal_reset_cause cause)
{
    noinit_set_cause(cause);
    mmio_write32(BOARD_RESET, BOARD_RESET_KEY);
    for (;;) {
    }
}

static const struct cfi cfi = { .base = BOARD_FLASH_BASE, .width = BOARD_FLASH_PROGRAM_BYTES };

int flash_mapped_program(uint32_t address, const uint8_t *bytes, uint32_t len)
{
    return cfi_program(cfi, address, bytes, len);
}

int flash_mapped_erase(uint32_t address)
{
    return cfi_erase(cfi, address);
}

static const struct hal_uart uart = { .read = uart_read, .write = uart_write };
static const struct hal_clock clock = { .hz = BOARD_CLOCK_HZ, .ticks = cycle_ticks };
static const struct hal_reset reset = { .cause = noinit_cause, .now = reset_now };
static const struct hal_id id = { .read = hal_no_id };
const struct hal hal = {
    .uart = &uart, .clock = &clock, .reset = &reset, .id = &id, .flash = &flash_mapped,
};

void hal_init(void)
{
    noinit_take_cause();
    uart16550_start(&port, (uint16_t)(UART_CLOCK_HZ / (16u * BOARD_BAUD)));
}

const struct hal_uart *hal_listen(void)
{
    return &uart;
}
