/* What Nordic's nRF51 and nRF52 have in common: UART0, TIMER0, WDT, NVMC, FICR.
 * SPDX-License-Identifier: Apache-2.0
 * nrf_chip.h has what differs. Registers: nRF51 Series Reference Manual 3.0 and nRF52840 Product
 * Specification 1.7, chapters CLOCK, FICR, GPIO, NVMC, POWER, TIMER, UART, WDT. */
#include <string.h>

#include "board_config.h"
#include "cortexm.h"
#include "extend.h"
#include "flash_mapped.h"
#include "hal.h"
#include "mmio.h"
#include "noinit.h"
#include "nrf_chip.h"
#include "uart_ring.h"

#define FICR_DEVICEID 0x10000060u

#define CLOCK_HFCLKSTART 0x40000000u
#define CLOCK_HFCLKSTARTED 0x40000100u
#define POWER_RESETREAS 0x40000400u
#define RESETREAS_PIN (1u << 0)
#define RESETREAS_DOG (1u << 1)
#define RESETREAS_LOCKUP (1u << 3)

#define UART_STARTRX (BOARD_UART_BASE + 0x000u)
#define UART_STARTTX (BOARD_UART_BASE + 0x008u)
#define UART_RXDRDY (BOARD_UART_BASE + 0x108u)
#define UART_TXDRDY (BOARD_UART_BASE + 0x11cu)
#define UART_INTENSET (BOARD_UART_BASE + 0x304u)
#define UART_INTENCLR (BOARD_UART_BASE + 0x308u)
#define UART_ERRORSRC (BOARD_UART_BASE + 0x480u)
#define UART_ENABLE (BOARD_UART_BASE + 0x500u)
#define UART_PSELTXD (BOARD_UART_BASE + 0x50cu)
#define UART_PSELRXD (BOARD_UART_BASE + 0x514u)
#define UART_RXD (BOARD_UART_BASE + 0x518u)
#define UART_TXD (BOARD_UART_BASE + 0x51cu)
#define UART_BAUDRATE (BOARD_UART_BASE + 0x524u)
#define UART_ENABLED 4u
#define UART_BAUD_115200 0x01d7e000u
#define UART_RXDRDY_INTERRUPT (1u << 2)
#define UART_OVERRUN 1u

#define GPIO_OUTSET 0x50000508u
#define GPIO_PIN_CNF 0x50000700u
#define PIN_OUTPUT 3u        /* input disconnected */
#define PIN_PULLED_UP 0xcu   /* an open line is silent */

#define TIMER_START 0x40008000u
#define TIMER_STOP 0x40008004u
#define TIMER_CAPTURE0 0x40008040u
#define TIMER_BITMODE 0x40008508u
#define TIMER_PRESCALER 0x40008510u
#define TIMER_CC0 0x40008540u
#define TIMER_32_BITS 3u
#define TIMER_HZ 16000000u /* with prescaler 0 */

#define WDT_START 0x40010000u
#define WDT_CRV 0x40010504u
#define WDT_RR0 0x40010600u
#define WDT_RELOAD 0x6e524635u
#define WDT_HZ 32768u
#define WDT_SECONDS 32u

#define NVMC_READY 0x4001e400u
#define NVMC_CONFIG 0x4001e504u
#define NVMC_ERASEPAGE 0x4001e508u
#define NVMC_READ 0u
#define NVMC_WRITE 1u
#define NVMC_ERASE 2u

_Static_assert(BOARD_FLASH_PROGRAM_BYTES == 4, "the controller takes words");
_Static_assert(BOARD_FLASH_ERASE_BYTES == NRF_PAGE_BYTES, "the controller erases pages");
_Static_assert(BOARD_BAUD == 115200, "UART_BAUD_115200 is the only rate set up here");

static struct extend timer;
static enum hal_reset_cause cause;

static int uart_read(void)
{
    if (!mmio_read32(UART_RXDRDY)) {
        return -1;
    }
    mmio_write32(UART_RXDRDY, 0); /* before the read: the next byte may raise it again */
    return (int)(mmio_read32(UART_RXD) & 0xffu);
}

static void uart_write(const void *bytes, size_t len)
{
    for (const uint8_t *byte = bytes; len > 0; len--) {
        mmio_write32(UART_TXDRDY, 0);
        mmio_write32(UART_TXD, *byte++);
        while (!mmio_read32(UART_TXDRDY)) {
        }
    }
}

static uint64_t timer_ticks(void)
{
    mmio_write32(WDT_RR0, WDT_RELOAD);
    mmio_write32(TIMER_CAPTURE0, 1);
    return extend_ticks(&timer, mmio_read32(TIMER_CC0));
}

static enum hal_reset_cause reset_cause(void)
{
    return cause;
}

static size_t id_read(uint8_t *id, size_t cap)
{
    const size_t len = cap < 8 ? cap : 8;

    for (size_t i = 0; i < len; i++) {
        const uint32_t word = mmio_read32(FICR_DEVICEID + (i < 4 ? 4u : 0u));

        id[i] = (uint8_t)(word >> (24 - 8 * (i & 3)));
    }
    return len;
}

/* The processor waits while the controller works on what it runs from; on other words it says
 * when it is ready. */
static void nvmc_mode(uint32_t mode)
{
    while (!mmio_read32(NVMC_READY)) {
    }
    mmio_write32(NVMC_CONFIG, mode);
}

int flash_mapped_program(uint32_t address, const uint8_t *bytes, uint32_t len)
{
    nvmc_mode(NVMC_WRITE);
    for (uint32_t at = 0; at < len; at += 4) {
        uint32_t word;

        memcpy(&word, bytes + at, sizeof word);
        mmio_write32(BOARD_FLASH_BASE + address + at, word);
        while (!mmio_read32(NVMC_READY)) {
        }
    }
    nvmc_mode(NVMC_READ);
    return 0;
}

int flash_mapped_erase(uint32_t address)
{
    nvmc_mode(NVMC_ERASE);
    mmio_write32(NVMC_ERASEPAGE, BOARD_FLASH_BASE + address);
    nvmc_mode(NVMC_READ);
    return 0;
}

static const struct hal_uart uart = { .read = uart_read, .write = uart_write };
static const struct hal_clock clock = { .hz = TIMER_HZ, .ticks = timer_ticks };
static const struct hal_reset reset = { .cause = reset_cause, .now = cortexm_reset };
static const struct hal_id id = { .read = id_read };
const struct hal hal = {
    .uart = &uart, .clock = &clock, .reset = &reset, .id = &id, .flash = &flash_mapped,
};

/* What the chip says counts before what the firmware had noted for a reset of its own. With the
 * pin's, other reasons may be told that were none: nRF52840 Errata, [136]. */
static void find_cause(void)
{
    const uint32_t reasons = mmio_read32(POWER_RESETREAS);

    mmio_write32(POWER_RESETREAS, reasons); /* they are kept until cleared */
    noinit_take_cause();
    if (!(reasons & RESETREAS_PIN) && reasons & (RESETREAS_DOG | RESETREAS_LOCKUP)) {
        cause = HAL_RESET_FAULT;
    } else {
        cause = noinit_cause();
    }
}

/* The crystal: the RC oscillator that the chip starts with is too coarse for a UART. */
static void start_crystal(void)
{
    mmio_write32(CLOCK_HFCLKSTART, 1);
    while (!mmio_read32(CLOCK_HFCLKSTARTED)) {
    }
}

static void start_uart(void)
{
    mmio_write32(UART_ENABLE, 0); /* pins are chosen while it is off; the bootloader left it on */
    mmio_write32(GPIO_OUTSET, 1u << NRF_TX_PIN);
    mmio_write32(GPIO_PIN_CNF + 4u * NRF_TX_PIN, PIN_OUTPUT);
    mmio_write32(GPIO_PIN_CNF + 4u * NRF_RX_PIN, PIN_PULLED_UP);
    mmio_write32(UART_PSELTXD, NRF_TX_PIN);
    mmio_write32(UART_PSELRXD, NRF_RX_PIN);
    mmio_write32(UART_BAUDRATE, UART_BAUD_115200);
    mmio_write32(UART_ENABLE, UART_ENABLED);
    mmio_write32(UART_STARTTX, 1);
    mmio_write32(UART_STARTRX, 1);
}

/* Nothing stops it any more, not even a reset by software, and its period stays as it is. */
static void start_watchdog(void)
{
    mmio_write32(WDT_CRV, WDT_SECONDS * WDT_HZ - 1);
    mmio_write32(WDT_START, 1);
    mmio_write32(WDT_RR0, WDT_RELOAD);
}

void hal_init(void)
{
    find_cause();
    nrf_chip_start();
    start_crystal();
    start_uart();
    mmio_write32(TIMER_STOP, 1); /* it is set up while it stands */
    mmio_write32(TIMER_BITMODE, TIMER_32_BITS);
    mmio_write32(TIMER_PRESCALER, 0);
    mmio_write32(TIMER_START, 1);
    start_watchdog();
}

#ifdef BOARD_UART_IRQ

void cortexm_uart_handler(void)
{
    const uint32_t errors = mmio_read32(UART_ERRORSRC);

    if (errors) {
        mmio_write32(UART_ERRORSRC, errors);
        if (errors & UART_OVERRUN) {
            uart_ring_lose();
        }
    }
    while (mmio_read32(UART_RXDRDY)) {
        if (uart_ring_is_full()) {
            mmio_write32(UART_INTENCLR, UART_RXDRDY_INTERRUPT);
            uart_ring_pause();
            return;
        }
        uart_ring_put((uint8_t)uart_read());
    }
}

static int kept_read(void)
{
    const int byte = uart_ring_take();

    if (byte >= 0 && uart_ring_resumes()) {
        mmio_write32(UART_INTENSET, UART_RXDRDY_INTERRUPT); /* the event is there still */
    }
    return byte;
}

static const struct hal_uart kept = { .read = kept_read, .write = uart_write };

const struct hal_uart *hal_listen(void)
{
    cortexm_listen();
    mmio_write32(UART_INTENSET, UART_RXDRDY_INTERRUPT);
    return &kept;
}

#else

const struct hal_uart *hal_listen(void)
{
    return &uart; /* the core's vectors are the bootloader's */
}

#endif
