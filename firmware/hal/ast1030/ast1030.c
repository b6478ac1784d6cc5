/* ASPEED AST1030, with serial NOR flash on the FMC. SPDX-License-Identifier: Apache-2.0
 * Registers: QEMU, hw/ssi/aspeed_smc.c and hw/arm/aspeed_ast10x0.c (the data sheet is not public). */
#include "board_config.h"
#include "cortexm.h"
#include "hal.h"
#include "mmio.h"
#include "noinit.h"
#include "spi_nor.h"
#include "uart16550.h"

#define UART_CLOCK_HZ 1846154u /* 24 MHz / 13 */

#define FMC_CONFIG 0x7e620000u
#define FMC_CONTROL 0x7e620010u /* of chip select 0 */
#define FMC_WINDOW 0x80000000u  /* likewise */

#define FMC_WRITABLE (1u << 16)
#define FMC_USER_MODE 3u
#define FMC_DESELECT (1u << 2)

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

static int kept_read(void)
{
    return uart16550_kept(&port);
}

static void uart_write(const void *bytes, size_t len)
{
    uart16550_write(&port, bytes, len);
}

/* In user mode, accesses to the window are the bytes on the bus. */
static void nor_begin(uint32_t frames)
{
    (void)frames;
    mmio_write32(FMC_CONTROL, FMC_USER_MODE | FMC_DESELECT);
    mmio_write32(FMC_CONTROL, FMC_USER_MODE);
}

static void nor_put(uint8_t byte)
{
    mmio_write8(FMC_WINDOW, byte);
}

static uint8_t nor_get(void)
{
    return mmio_read8(FMC_WINDOW);
}

static void nor_end(void)
{
    mmio_write32(FMC_CONTROL, FMC_USER_MODE | FMC_DESELECT);
}

const struct spi_nor spi_nor = {
    .begin = nor_begin,
    .put = nor_put,
    .get = nor_get,
    .end = nor_end,
    .erase_command = SPI_NOR_ERASE_4K,
};
_Static_assert(BOARD_FLASH_ERASE_BYTES == 4096, "what the erase command erases");

static const struct hal_uart uart = { .read = uart_read, .write = uart_write };
static const struct hal_uart kept = { .read = kept_read, .write = uart_write };
static const struct hal_clock clock = { .hz = BOARD_CLOCK_HZ, .ticks = cortexm_systick_ticks };
static const struct hal_reset reset = { .cause = noinit_cause, .now = cortexm_reset };
static const struct hal_id id = { .read = hal_no_id };
const struct hal hal = {
    .uart = &uart, .clock = &clock, .reset = &reset, .id = &id, .flash = &spi_nor_flash,
};

void hal_init(void)
{
    noinit_take_cause();
    uart16550_start(&port, (uint16_t)(UART_CLOCK_HZ / (16u * BOARD_BAUD)));
    cortexm_systick_start();
    mmio_write32(FMC_CONFIG, mmio_read32(FMC_CONFIG) | FMC_WRITABLE);
    spi_nor_start();
}

void cortexm_uart_handler(void)
{
    uart16550_interrupt(&port);
}

const struct hal_uart *hal_listen(void)
{
    cortexm_listen();
    uart16550_listen(&port);
    return &kept;
}
