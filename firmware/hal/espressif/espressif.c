/* What Espressif's chips have in common: UART 0, flash behind SPI1 and a cache, watchdogs,
 * eFuses. UNTESTED ON SILICON. SPDX-License-Identifier: Apache-2.0
 * esp_chip.h has each chip's addresses and their sources; fields are the same in all. */
#include <string.h>

#include "board_config.h"
#include "esp_chip.h"
#include "flash_mapped.h"
#include "hal.h"
#include "link.h"
#include "mmio.h"
#include "noinit.h"

/* What runs while the flash does not answer: no call may leave it, no constant may be in flash. */
#define IN_RAM __attribute__((section(".ramfunc"), noinline))

/* uart_reg.h; the receive side is at the start of the block */
#define UART_CLKDIV (BOARD_UART_BASE + 0x14u)
#define UART_STATUS (BOARD_UART_BASE + 0x1cu)
#define UART_CONF0 (BOARD_UART_BASE + 0x20u)
#define UART_8N1 (3u << 2 | 1u << 4)
#define UART_CONF0_FRAME 0x3fu
#define UART_FIFO_BYTES 128u

/* spi_reg.h, spi_mem_reg.h */
#define SPI_USR (1u << 18)
#define SPI_COMMAND (1u << 31)
#define SPI_ADDRESS (1u << 30)
#define SPI_MISO (1u << 28)
#define SPI_MOSI (1u << 27)
#define SPI_CTRL_MODES (1u << 13 | 1u << 14 | 1u << 20 | 1u << 23 | 1u << 24) /* fast, dual, quad */
#define SPI_COMMAND_8_BITS (7u << 28)
#define SPI_ADDRESS_24_BITS (23u << 26)
#define SPI_ADDRESS_LENGTH (0x3fu << 26)
#define SPI_BUFFER_BYTES 64u

/* Commands of the flash chip: Winbond W25Q32JV data sheet, 8.1.2. */
#define NOR_PAGE_PROGRAM 0x02u
#define NOR_READ_STATUS 0x05u
#define NOR_WRITE_ENABLE 0x06u
#define NOR_ERASE_4K 0x20u
#define NOR_BUSY 0x01u
#define NOR_PAGE_BYTES 256u

/* rtc_cntl_reg.h, timer_group_reg.h */
#define RTC_SW_SYS_RST (1u << 31)
#define RTC_RESET_CAUSE 0x3fu
#define WDT_KEY 0x50d83aa1u

#define PAGE_BYTES 0x10000u

extern uint32_t link_fast_start[];
extern uint32_t link_fast_end[];
extern const uint32_t link_fast_load[];

static enum hal_reset_cause cause;

static int uart_read(void)
{
    if ((mmio_read32(UART_STATUS) & ESP_UART_COUNT_MASK) == 0) {
        return -1;
    }
    return (int)(mmio_read32(BOARD_UART_BASE) & 0xffu);
}

static void uart_write(const void *bytes, size_t len)
{
    for (const uint8_t *byte = bytes; len > 0; len--) {
        while ((mmio_read32(UART_STATUS) >> 16 & ESP_UART_COUNT_MASK) >= UART_FIFO_BYTES - 2) {
        }
        mmio_write32(ESP_UART_TX_FIFO, *byte++);
    }
}

static void uart_start(void)
{
    const uint32_t sixteenths = (16u * ESP_UART_HZ + BOARD_BAUD / 2) / BOARD_BAUD;

    while (mmio_read32(UART_STATUS) >> 16 & ESP_UART_COUNT_MASK) {
    }
    mmio_write32(UART_CLKDIV, sixteenths / 16 | sixteenths % 16 << 20);
    mmio_write32(UART_CONF0, (mmio_read32(UART_CONF0) & ~UART_CONF0_FRAME) | UART_8N1);
}

/* One exchange with the flash chip, over one line. Data is in the controller's buffer. Reads by the
 * cache are SPI0's, which the ROM has set up. */
IN_RAM static void exchange(uint32_t phases, uint32_t command, uint32_t address, uint32_t bits)
{
    mmio_write32(ESP_SPI_CTRL, mmio_read32(ESP_SPI_CTRL) & ~SPI_CTRL_MODES);
    mmio_write32(ESP_SPI_USER,
                 (mmio_read32(ESP_SPI_USER) & ESP_SPI_USER_KEEP) | SPI_COMMAND | phases);
    mmio_write32(ESP_SPI_USER1,
                 (mmio_read32(ESP_SPI_USER1) & ~SPI_ADDRESS_LENGTH) | SPI_ADDRESS_24_BITS);
    mmio_write32(ESP_SPI_USER2, SPI_COMMAND_8_BITS | command);
    mmio_write32(ESP_SPI_ADDR, address << ESP_SPI_ADDR_SHIFT);
    mmio_write32(phases & SPI_MOSI ? ESP_SPI_MOSI_DLEN : ESP_SPI_MISO_DLEN, bits - 1);
    mmio_write32(ESP_SPI_CMD, SPI_USR);
    while (mmio_read32(ESP_SPI_CMD) & SPI_USR) {
    }
}

IN_RAM static void wait_until_done(void)
{
    do {
        exchange(SPI_MISO, NOR_READ_STATUS, 0, 8);
    } while (mmio_read32(ESP_SPI_W0) & NOR_BUSY);
}

/* Erases a unit, or programs `bits` of the controller's buffer. */
IN_RAM static void change(uint32_t phases, uint32_t command, uint32_t address, uint32_t bits)
{
    esp_chip_cache_off();
    exchange(0, NOR_WRITE_ENABLE, 0, 8);
    exchange(SPI_ADDRESS | phases, command, address, bits);
    wait_until_done();
    esp_chip_cache_on();
}

IN_RAM static void map_flash(void)
{
    esp_chip_cache_off();
    wait_until_done(); /* a reset may have come in the middle of an erase */
    esp_chip_map(BOARD_FLASH_BYTES / PAGE_BYTES);
    esp_chip_cache_on();
}

static void fill_buffer(const uint8_t *bytes, uint32_t len)
{
    for (uint32_t at = 0; at < len; at += 4) {
        uint32_t word = 0xffffffffu;

        memcpy(&word, bytes + at, len - at < 4 ? len - at : 4);
        mmio_write32(ESP_SPI_W0 + at, word);
    }
}

int flash_mapped_program(uint32_t address, const uint8_t *bytes, uint32_t len)
{
    while (len > 0) {
        const uint32_t in_page = NOR_PAGE_BYTES - address % NOR_PAGE_BYTES;
        const uint32_t room = in_page < SPI_BUFFER_BYTES ? in_page : SPI_BUFFER_BYTES;
        const uint32_t part = len < room ? len : room;

        fill_buffer(bytes, part); /* while what it reads may be in flash */
        change(SPI_MOSI, NOR_PAGE_PROGRAM, address, 8 * part);
        address += part;
        bytes += part;
        len -= part;
    }
    return 0;
}

int flash_mapped_erase(uint32_t address)
{
    change(0, NOR_ERASE_4K, address, 8);
    return 0;
}

_Static_assert(BOARD_FLASH_ERASE_BYTES == 0x1000, "what the erase command erases");

/* The ROM starts two, to restart when loading fails; a third may run since a reset. What they
 * guard is verified here by other means, and inference may take longer than they allow. */
static void stop_watchdogs(void)
{
    static const uint32_t config[] = ESP_TIMG_WDTCONFIG0;
    static const uint32_t protect[] = ESP_TIMG_WDTWPROTECT;

    for (uint32_t i = 0; i < sizeof config / sizeof config[0]; i++) {
        mmio_write32(protect[i], WDT_KEY);
        mmio_write32(config[i], ESP_TIMG_WDT_OFF);
        mmio_write32(protect[i], 0);
    }
    mmio_write32(ESP_RTC_WDTWPROTECT, WDT_KEY);
    mmio_write32(ESP_RTC_WDTCONFIG0, 0);
    mmio_write32(ESP_RTC_WDTWPROTECT, 0);
}

/* reset_reasons.h: what the chip says, and what the firmware had noted for a reset of its own. */
static void find_cause(void)
{
    static const uint32_t software = 1u << 0x03 | 1u << 0x0c;
    static const uint32_t watchdog = 1u << 0x07 | 1u << 0x08 | 1u << 0x09 | 1u << 0x0b | 1u << 0x0d
                                     | 1u << 0x10 | 1u << 0x11 | 1u << 0x12;
    const uint32_t reason = 1u << (mmio_read32(ESP_RTC_RESET_STATE) & RTC_RESET_CAUSE & 31u);

    noinit_take_cause();
    cause = reason & software ? noinit_cause()
                              : (reason & watchdog ? HAL_RESET_FAULT : HAL_RESET_POWER_ON);
}

static enum hal_reset_cause reset_cause(void)
{
    return cause;
}

static _Noreturn void reset_now(enum hal_reset_cause why)
{
    noinit_set_cause(why);
    mmio_write32(ESP_RTC_OPTIONS0, mmio_read32(ESP_RTC_OPTIONS0) | RTC_SW_SYS_RST);
    for (;;) {
    }
}

/* The MAC address as it is written: most significant byte first. */
static size_t id_read(uint8_t *id, size_t cap)
{
    const uint32_t high = mmio_read32(ESP_EFUSE_MAC_HIGH), low = mmio_read32(ESP_EFUSE_MAC_LOW);
    const uint8_t mac[] = {
        (uint8_t)(high >> 8), (uint8_t)high,        (uint8_t)(low >> 24),
        (uint8_t)(low >> 16), (uint8_t)(low >> 8), (uint8_t)low,
    };
    const size_t len = cap < sizeof mac ? cap : sizeof mac;

    memcpy(id, mac, len);
    return len;
}

static const struct hal_uart uart = { .read = uart_read, .write = uart_write };
static const struct hal_clock clock = { .hz = BOARD_CLOCK_HZ, .ticks = esp_chip_ticks };
static const struct hal_reset reset = { .cause = reset_cause, .now = reset_now };
static const struct hal_id id = { .read = id_read };
const struct hal hal = {
    .uart = &uart, .clock = &clock, .reset = &reset, .id = &id, .flash = &flash_mapped,
};

/* Polled: interrupts are not used yet. */
const struct hal_uart *hal_listen(void)
{
    return &uart;
}

void hal_init(void)
{
    const uint32_t *from = link_fast_load;

    stop_watchdogs();
    for (uint32_t *to = link_fast_start; to < link_fast_end; to++) {
        *to = *from++;
    }
    esp_chip_start();
    map_flash();
    find_cause();
    uart_start();
}
