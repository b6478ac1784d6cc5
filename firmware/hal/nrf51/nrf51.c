/* Nordic nRF51: UART0, TIMER0, NVMC. SPDX-License-Identifier: Apache-2.0
 * Registers: nRF51 Series Reference Manual 3.0, chapters FICR, NVMC, TIMER, UART. */
#include <string.h>

#include "board_config.h"
#include "cortexm.h"
#include "extend.h"
#include "flash_check.h"
#include "hal.h"
#include "mmio.h"
#include "noinit.h"

#define FICR_DEVICEID 0x10000060u

#define UART_STARTRX (BOARD_UART_BASE + 0x000u)
#define UART_STARTTX (BOARD_UART_BASE + 0x008u)
#define UART_RXDRDY (BOARD_UART_BASE + 0x108u)
#define UART_TXDRDY (BOARD_UART_BASE + 0x11cu)
#define UART_ENABLE (BOARD_UART_BASE + 0x500u)
#define UART_PSELTXD (BOARD_UART_BASE + 0x50cu)
#define UART_PSELRXD (BOARD_UART_BASE + 0x514u)
#define UART_RXD (BOARD_UART_BASE + 0x518u)
#define UART_TXD (BOARD_UART_BASE + 0x51cu)
#define UART_BAUDRATE (BOARD_UART_BASE + 0x524u)

#define UART_ENABLED 4u
#define UART_BAUD_115200 0x01d7e000u
#define UART_TX_PIN 24u /* the micro:bit's lines to its USB interface */
#define UART_RX_PIN 25u

#define NVMC_READY 0x4001e400u
#define NVMC_CONFIG 0x4001e504u
#define NVMC_ERASEPAGE 0x4001e508u
#define NVMC_READ 0u
#define NVMC_WRITE 1u
#define NVMC_ERASE 2u

#define TIMER_START 0x40008000u
#define TIMER_CAPTURE0 0x40008040u
#define TIMER_BITMODE 0x40008508u
#define TIMER_PRESCALER 0x40008510u
#define TIMER_CC0 0x40008540u
#define TIMER_32_BITS 3u

_Static_assert(BOARD_FLASH_PROGRAM_BYTES == 4, "the controller takes words");
_Static_assert(BOARD_BAUD == 115200, "UART_BAUD_115200 is the only rate set up here");
_Static_assert(BOARD_CLOCK_HZ == 16000000, "TIMER0 runs at 16 MHz with prescaler 0");

static struct extend timer;

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
    mmio_write32(TIMER_CAPTURE0, 1);
    return extend_ticks(&timer, mmio_read32(TIMER_CC0));
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

static const struct hal_flash flash;

static int flash_read(uint32_t address, void *bytes, uint32_t len)
{
    const int err = flash_check_read(&flash, address, len);

    if (!err) {
        memcpy(bytes, (const void *)(uintptr_t)(BOARD_FLASH_BASE + address), len);
    }
    return err;
}

/* The processor waits while the controller works on what it runs from; on other words it says
 * when it is ready. */
static void nvmc_mode(uint32_t mode)
{
    while (!mmio_read32(NVMC_READY)) {
    }
    mmio_write32(NVMC_CONFIG, mode);
}

static int flash_program(uint32_t address, const void *bytes, uint32_t len)
{
    const int err = flash_check_program(&flash, address, bytes, len);
    const uint8_t *p = bytes;

    if (err) {
        return err;
    }
    nvmc_mode(NVMC_WRITE);
    for (uint32_t at = 0; at < len; at += 4) {
        uint32_t word;

        memcpy(&word, p + at, sizeof word);
        mmio_write32(BOARD_FLASH_BASE + address + at, word);
        while (!mmio_read32(NVMC_READY)) {
        }
    }
    nvmc_mode(NVMC_READ);
    return 0;
}

static int flash_erase(uint32_t address)
{
    const int err = flash_check_erase(&flash, address);

    if (err) {
        return err;
    }
    nvmc_mode(NVMC_ERASE);
    mmio_write32(NVMC_ERASEPAGE, BOARD_FLASH_BASE + address);
    nvmc_mode(NVMC_READ);
    return 0;
}

static const struct hal_flash flash = {
    .read = flash_read,
    .program = flash_program,
    .erase = flash_erase,
    .bytes = BOARD_FLASH_BYTES,
    .erase_bytes = BOARD_FLASH_ERASE_BYTES,
    .program_bytes = BOARD_FLASH_PROGRAM_BYTES,
};

static const struct hal_uart uart = { .read = uart_read, .write = uart_write };
static const struct hal_clock clock = { .hz = BOARD_CLOCK_HZ, .ticks = timer_ticks };
static const struct hal_reset reset = { .cause = noinit_cause, .now = cortexm_reset };
static const struct hal_id id = { .read = id_read };
const struct hal hal = {
    .uart = &uart, .clock = &clock, .reset = &reset, .id = &id, .flash = &flash,
};

void hal_init(void)
{
    noinit_take_cause();
    mmio_write32(UART_PSELTXD, UART_TX_PIN);
    mmio_write32(UART_PSELRXD, UART_RX_PIN);
    mmio_write32(UART_BAUDRATE, UART_BAUD_115200);
    mmio_write32(UART_ENABLE, UART_ENABLED);
    mmio_write32(UART_STARTTX, 1);
    mmio_write32(UART_STARTRX, 1);
    mmio_write32(TIMER_BITMODE, TIMER_32_BITS);
    mmio_write32(TIMER_PRESCALER, 0);
    mmio_write32(TIMER_START, 1);
}

const struct hal_uart *hal_listen(void)
{
    return &uart; /* the core's vectors are the bootloader's */
}
