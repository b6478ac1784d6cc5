/* QEMU's `virt` RISC-V machine: 16550 UART, CLINT timer, CFI flash, test device for
 * resets.
 * SPDX-License-Identifier: Apache-2.0
 * Addresses: QEMU, hw/riscv/virt.c; registers: SiFive FU540-C000 manual, "CLINT" and
 * "Platform-Level Interrupt Controller". */
#include "board_config.h"
#include "cfi.h"
#include "flash_mapped.h"
#include "hal.h"
#include "mmio.h"
#include "noinit.h"
#include "riscv.h"
#include "uart16550.h"

#define UART_CLOCK_HZ 3686400u
#define TEST_DEVICE 0x00100000u
#define TEST_RESET 0x7777u
#define MTIME 0x0200bff8u
#define PLIC 0x0c000000u
#define PLIC_PRIORITY (PLIC + 4u * BOARD_UART_IRQ)
#define PLIC_ENABLE (PLIC + 0x2000u + BOARD_UART_IRQ / 32u * 4u) /* machine mode of hart 0 */
#define PLIC_THRESHOLD (PLIC + 0x200000u)
#define PLIC_CLAIM (PLIC + 0x200004u)

static uint8_t uart_get(uint32_t index)
{
    return mmio_read8(BOARD_UART_BASE + index);
}

static void uart_put(uint32_t index, uint8_t value)
{
    mmio_write8(BOARD_UART_BASE + index, value);
}

static const struct uart16550 port = { .get = uart_get, .put = uart_put };

static int uart_read(void)
{
    return uart16550_read(&port);
}

static int kept_read(void)
{
    return uart16550_kept(&port);
}

static void uart_write(const void *bytes, size_t len)
{
    uart16550_write(&port, bytes, len);
}

static uint64_t mtime_ticks(void)
{
    uint32_t high, low;

    do {
        high = mmio_read32(MTIME + 4);
        low = mmio_read32(MTIME);
    } while (high != mmio_read32(MTIME + 4));
    return ((uint64_t)high << 32) | low;
}

static _Noreturn void reset_now(enum hal_reset_cause cause)
{
    noinit_set_cause(cause);
    mmio_write32(TEST_DEVICE, TEST_RESET);
    for (;;) {
    }
}

static const struct cfi cfi = { .base = BOARD_FLASH_BASE, .width = BOARD_FLASH_PROGRAM_BYTES };

int flash_mapped_program(uint32_t address, const uint8_t *bytes, uint32_t len)
{
    const uint32_t masked = riscv_mask(); /* riscv_interrupt() lies in this flash */
    const int err = cfi_program(cfi, address, bytes, len);

    riscv_unmask(masked);
    return err;
}

int flash_mapped_erase(uint32_t address)
{
    const uint32_t masked = riscv_mask();
    const int err = cfi_erase(cfi, address);

    riscv_unmask(masked);
    return err;
}

static const struct hal_uart uart = { .read = uart_read, .write = uart_write };
static const struct hal_uart kept = { .read = kept_read, .write = uart_write };
static const struct hal_clock clock = { .hz = BOARD_CLOCK_HZ, .ticks = mtime_ticks };
static const struct hal_reset reset = { .cause = noinit_cause, .now = reset_now };
static const struct hal_id id = { .read = hal_no_id };
const struct hal hal = {
    .uart = &uart, .clock = &clock, .reset = &reset, .id = &id, .flash = &flash_mapped,
};

void hal_init(void)
{
    noinit_take_cause();
    uart16550_start(&port, UART_CLOCK_HZ / (16u * BOARD_BAUD));
}

void riscv_interrupt(void)
{
    const uint32_t source = mmio_read32(PLIC_CLAIM);

    uart16550_interrupt(&port);
    mmio_write32(PLIC_CLAIM, source);
}

const struct hal_uart *hal_listen(void)
{
    mmio_write32(PLIC_PRIORITY, 1);
    mmio_write32(PLIC_THRESHOLD, 0);
    mmio_write32(PLIC_ENABLE, 1u << BOARD_UART_IRQ % 32u);
    riscv_listen();
    uart16550_listen(&port);
    return &kept;
}
