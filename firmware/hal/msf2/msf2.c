/* Microsemi SmartFusion2, with serial NOR flash on SPI 0. SPDX-License-Identifier: Apache-2.0
 * Registers: Microsemi UG0331, "MMUART" and "Serial Peripheral Interface Controller". */
#include "board_config.h"
#include "cortexm.h"
#include "hal.h"
#include "mmio.h"
#include "noinit.h"
#include "spi_nor.h"
#include "uart16550.h"

#define DDR_CODE 0xa0000000u
#define MPU_CTRL 0xe000ed94u /* Arm DDI 0403E, B3.5 */
#define MPU_RNR 0xe000ed98u
#define MPU_RBAR 0xe000ed9cu
#define MPU_RASR 0xe000eda0u
#define RASR_FULL_ACCESS (3u << 24)
#define RASR_CACHED (1u << 17)
#define RASR_4_MB (21u << 1)
#define RASR_ENABLE 1u
#define MPU_ON_OVER_DEFAULT_MAP 5u

#define UART_CLOCK_HZ (BOARD_CLOCK_HZ / 2) /* APB0 */

#define SPI_CONTROL 0x40001000u
#define SPI_FRAME_BITS 0x40001004u
#define SPI_STATUS 0x40001008u
#define SPI_RX 0x40001010u
#define SPI_TX 0x40001014u
#define SPI_CLOCK 0x40001018u
#define SPI_SELECT 0x4000101cu

#define SPI_ENABLE (1u << 0)
#define SPI_MASTER (1u << 1)
#define SPI_FRAMES_SHIFT 8
#define SPI_HOLD_SELECT (1u << 26)
#define SPI_BIG_FIFO (1u << 29)
#define SPI_RX_EMPTY (1u << 6)

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

static void nor_begin(uint32_t frames)
{
    /* The controller holds the chip select for as many frames. */
    mmio_write32(SPI_CONTROL, SPI_MASTER | frames << SPI_FRAMES_SHIFT | SPI_HOLD_SELECT
                                  | SPI_BIG_FIFO | SPI_ENABLE);
}

static uint8_t exchange(uint8_t byte)
{
    mmio_write32(SPI_TX, byte);
    while (mmio_read32(SPI_STATUS) & SPI_RX_EMPTY) {
    }
    return (uint8_t)mmio_read32(SPI_RX);
}

static void nor_put(uint8_t byte)
{
    (void)exchange(byte);
}

static uint8_t nor_get(void)
{
    return exchange(0);
}

static void nor_end(void)
{
    mmio_write32(SPI_CONTROL, SPI_MASTER);
}

const struct spi_nor spi_nor = {
    .begin = nor_begin,
    .put = nor_put,
    .get = nor_get,
    .end = nor_end,
    .erase_command = SPI_NOR_ERASE_64K,
};
_Static_assert(BOARD_FLASH_ERASE_BYTES == 0x10000, "what the erase command erases");

static const struct hal_uart uart = { .read = uart_read, .write = uart_write };
static const struct hal_uart kept = { .read = kept_read, .write = uart_write };
static const struct hal_clock clock = { .hz = BOARD_CLOCK_HZ, .ticks = cortexm_systick_ticks };
static const struct hal_reset reset = { .cause = noinit_cause, .now = cortexm_reset };
static const struct hal_id id = { .read = hal_no_id };
const struct hal hal = {
    .uart = &uart, .clock = &clock, .reset = &reset, .id = &id, .flash = &spi_nor_flash,
};

/* Images are run in the DDR, which the architecture's default map forbids. Everything else stays
 * as that map has it. */
static void let_ddr_execute(void)
{
    mmio_write32(MPU_RNR, 0);
    mmio_write32(MPU_RBAR, DDR_CODE);
    mmio_write32(MPU_RASR, RASR_FULL_ACCESS | RASR_CACHED | RASR_4_MB | RASR_ENABLE);
    mmio_write32(MPU_CTRL, MPU_ON_OVER_DEFAULT_MAP);
    __asm volatile("dsb\n isb" : : : "memory");
}

void hal_init(void)
{
    noinit_take_cause();
    let_ddr_execute();
    uart16550_start(&port, (uint16_t)(UART_CLOCK_HZ / (16u * BOARD_BAUD)));
    cortexm_systick_start();
    mmio_write32(SPI_CONTROL, SPI_MASTER); /* ends the controller's reset, too */
    mmio_write32(SPI_FRAME_BITS, 8);
    mmio_write32(SPI_CLOCK, 7); /* a sixteenth of APB0 */
    mmio_write32(SPI_SELECT, 1);
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
