/* ESP32's UART 0, SPI1 with a NOR flash, cache and MMU, watchdogs, reset and eFuses, register by
 * register, and what a driver must get right of them. SPDX-License-Identifier: Apache-2.0
 *
 * It shares no definition with the driver, but its author read the same ESP-IDF headers (soc, ll);
 * the sections of the Technical Reference Manual and of the flash's data sheet, W25Q32JV, that are
 * named below have not been held against the documents. An access that is not allowed ends the run
 * with a line that says which. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "flash.h"
#include "hal.h"
#include "mmio.h"

#define CELLS 0x400000u
#define PAGE 0x10000u
#define DROM0 0x3f400000u
#define BITES_AFTER 20000u /* register accesses until a watchdog resets the chip */

uint32_t link_fast_start[1];
uint32_t link_fast_end[1]; /* may lie before or behind it: nothing is copied */
const uint32_t link_fast_load[1];

static uint8_t cells[CELLS];
static uint8_t *view;
static uint32_t mmu[256];
static uint32_t cache_ctrl, cache_ctrl1 = 0x1f, cache_idle_in;
static int cache_is_stale = 1, commands;
static struct { uint32_t cmd, addr, ctrl, user, user1, user2, mosi, miso, w[16]; } spi = {
    .ctrl = 1u << 24 | 1u << 13, .user = 0x800000f0u, .user1 = 0x5c000007u,
};
static uint32_t spi_busy_reads, nor_busy_reads;
static int write_enabled, is_busy_for_ever;
static uint32_t wdt[3] = { 1u << 14, 0, 1u << 10 }, locks[3], accesses;
static uint32_t uart_clkdiv = 0x15b, uart_conf0 = 0x0800001c, tx_fill, tx_turns;
static uint8_t tx[4096], rx[64];
static uint32_t tx_count, rx_count, rx_at;
static uint32_t reset_state = 1;
static jmp_buf on_reset;

static _Noreturn void stop(const char *format, ...)
{
    va_list words;

    va_start(words, format);
    vprintf(format, words);
    va_end(words);
    printf("\n");
    fflush(stdout);
    _Exit(1);
}

static int cache_is_on(void)
{
    return cache_ctrl >> 3 & 1;
}

/* TRM 26.3 (MMU), DPORT_PRO_CACHE_CTRL. Pages that no entry maps cannot be read, nor any while the
 * cache is off; a driver that tries dies of it. */
static void show(void)
{
    for (uint32_t page = 0; page < CELLS / PAGE; page++) {
        uint8_t *const there = view + page * PAGE;
        const int is_there = cache_is_on() && !(cache_ctrl1 >> 4 & 1) && mmu[page] < 256;

        mprotect(there, PAGE, PROT_READ | PROT_WRITE);
        if (is_there && cache_is_stale && mmu[page] * PAGE < CELLS) {
            memcpy(there, cells + mmu[page] * PAGE, PAGE);
        }
        mprotect(there, PAGE, is_there ? PROT_READ : PROT_NONE);
    }
    if (cache_is_on()) {
        cache_is_stale = 0;
    }
}

static void set_cache(uint32_t value)
{
    const uint32_t was = cache_ctrl;

    if (was & 8 && !(value & 8) && cache_idle_in) {
        stop("cache: switched off while it works");
    }
    if (!(was & 8) && value & 8 && nor_busy_reads) {
        stop("cache: switched on while the flash is busy");
    }
    cache_ctrl = value & ~0x20u;
    if (value & 0x10 && !(was & 0x10)) {
        if (value & 8) {
            stop("cache: flushed while it is on");
        }
        cache_is_stale = 1;
        cache_ctrl |= 0x20;
    } else if (value & 0x10) {
        cache_ctrl |= was & 0x20;
    }
    show();
}

/* W25Q32JV 8.2: what the chip does with one exchange. */
static void nor(uint8_t code, int has_address, uint32_t address, uint32_t out_bits, uint8_t *out,
                uint32_t in_bits)
{
    commands++;
    if (nor_busy_reads && code != 0x05) {
        stop("nor: command %02x while busy", code);
    }
    switch (code) {
    case 0x05:
        if (has_address || out_bits || in_bits != 8) {
            stop("nor: a status is 8 bits");
        }
        spi.w[0] = (nor_busy_reads ? 1u : 0u) | (write_enabled ? 2u : 0u) | (spi.w[0] & ~0xffu);
        if (nor_busy_reads && !is_busy_for_ever && --nor_busy_reads == 0) {
            write_enabled = 0;
        }
        return;
    case 0x06:
        if (has_address || out_bits || in_bits) {
            stop("nor: write enable with more than a command");
        }
        write_enabled = 1;
        return;
    case 0x02:
    case 0x20:
        if (!has_address || in_bits || (code == 0x20) != (out_bits == 0) || out_bits % 8) {
            stop("nor: command %02x with %u bits out, %u in", code, out_bits, in_bits);
        }
        if (!write_enabled) {
            stop("nor: command %02x without write enable", code);
        }
        if (cache_is_on()) {
            stop("nor: command %02x with the cache on", code);
        }
        nor_busy_reads = 5;
        if (code == 0x20) {
            memset(cells + (address & ~0xfffu) % CELLS, 0xff, 0x1000);
        }
        for (uint32_t i = 0; i < out_bits / 8; i++) {
            cells[((address & ~0xffu) | ((address + i) & 0xff)) % CELLS] &= out[i];
        }
        return;
    default:
        stop("nor: command %02x", code);
    }
}

/* TRM 7.8: USER says which phases there are, USER1 and USER2 how long. */
static void exchange(void)
{
    const uint32_t out = spi.user >> 27 & 1, in = spi.user >> 28 & 1;

    if (!(spi.user >> 31) || spi.user >> 29 & 1 || spi.user >> 24 & 3 || spi.user >> 10 & 0x3f
        || spi.user & 1) {
        stop("spi: USER is %08x", spi.user);
    }
    if (spi.ctrl & (1u << 13 | 1u << 14 | 1u << 20 | 1u << 23 | 1u << 24)) {
        stop("spi: CTRL is %08x, not for one line", spi.ctrl);
    }
    if (spi.user2 >> 28 != 7 || (spi.user >> 30 & 1 && spi.user1 >> 26 != 23)) {
        stop("spi: USER1 %08x, USER2 %08x", spi.user1, spi.user2);
    }
    if ((out && spi.mosi > 511) || (in && spi.miso > 511)) {
        stop("spi: longer than its buffer");
    }
    uint8_t bytes[64];

    memcpy(bytes, spi.w, sizeof bytes);
    nor((uint8_t)spi.user2, spi.user >> 30 & 1, spi.addr >> 8, out ? spi.mosi + 1 : 0, bytes,
        in ? spi.miso + 1 : 0);
    spi_busy_reads = 3;
}

static uint32_t *spi_register(uint32_t offset)
{
    switch (offset) {
    case 0x04: return &spi.addr;
    case 0x08: return &spi.ctrl;
    case 0x1c: return &spi.user;
    case 0x20: return &spi.user1;
    case 0x24: return &spi.user2;
    case 0x28: return &spi.mosi;
    case 0x2c: return &spi.miso;
    default: break;
    }
    return offset >= 0x80 && offset < 0xc0 ? &spi.w[(offset - 0x80) / 4] : NULL;
}

/* TRM 18.3.1.3 (MWDT), 31.3.7 (RTC WDT): written while unlocked only. EN is bit 31; the bit by
 * which the ROM started it is 14 and 10. */
static int watchdog(uint32_t address, uint32_t *value, int is_write)
{
    static const uint32_t config[] = { 0x3ff5f048, 0x3ff60048, 0x3ff4808c };
    static const uint32_t lock[] = { 0x3ff5f064, 0x3ff60064, 0x3ff480a4 };

    for (int i = 0; i < 3; i++) {
        if (address == config[i] && is_write && locks[i] == 0x50d83aa1u) {
            wdt[i] = *value;
        } else if (address == lock[i] && is_write) {
            locks[i] = *value;
        }
        if (address == config[i] || address == lock[i]) {
            *value = address == config[i] ? wdt[i] : locks[i];
            return 1;
        }
    }
    return 0;
}

static void turn(void)
{
    static const uint32_t running[] = { 1u << 31 | 1u << 14, 1u << 31 | 1u << 14,
                                        1u << 31 | 1u << 10 };

    accesses++;
    for (int i = 0; i < 3; i++) {
        if (wdt[i] & running[i] && accesses > BITES_AFTER) {
            stop("watchdog %d bites", i);
        }
    }
    if (tx_fill && ++tx_turns % 7 == 0) {
        tx_fill--;
    }
}

uint32_t mmio_read32(uint32_t address)
{
    uint32_t value = 0;

    turn();
    if (address >= 0x3ff42000u && address < 0x3ff43000u && spi_register(address & 0xfff)) {
        if (spi_busy_reads) {
            stop("spi: read at %08x during an exchange", address);
        }
        return *spi_register(address & 0xfff);
    }
    if (watchdog(address, &value, 0)) {
        return value;
    }
    switch (address) {
    case 0x3ff42000: return spi_busy_reads ? spi_busy_reads--, 1u << 18 : 0;
    case 0x3ff00040: return cache_ctrl;
    case 0x3ff00044: return cache_ctrl1;
    case 0x3ff003f0: return (cache_idle_in ? cache_idle_in--, 5u : 1u) << 7;
    case 0x3ff40000:
        if (rx_at == rx_count) {
            stop("uart: read of an empty FIFO");
        }
        return rx[rx_at++];
    case 0x3ff4001c: return (rx_count - rx_at) | tx_fill << 16;
    case 0x3ff40020: return uart_conf0;
    case 0x3ff48034: return reset_state | 14u << 6;
    case 0x3ff48000: return 0x1c492000;
    case 0x3ff5a004: return 0xa1b2c3d4;
    case 0x3ff5a008: return 0x005524f6; /* a CRC above the address */
    default: stop("read of %08x", address);
    }
}

void mmio_write32(uint32_t address, uint32_t value)
{
    turn();
    if (address >= 0x3ff42000u && address < 0x3ff43000u && spi_register(address & 0xfff)) {
        if (spi_busy_reads) {
            stop("spi: write at %08x during an exchange", address);
        }
        *spi_register(address & 0xfff) = value;
        return;
    }
    if (address >= 0x3ff10000u && address < 0x3ff10400u) {
        if (cache_is_on()) {
            stop("mmu: changed with the cache on");
        }
        mmu[(address - 0x3ff10000u) / 4] = value;
        return;
    }
    if (watchdog(address, &value, 1)) {
        return;
    }
    switch (address) {
    case 0x3ff42000:
        if (value != 1u << 18 || spi_busy_reads) {
            stop("spi: CMD %08x", value);
        }
        exchange();
        return;
    case 0x3ff00040: set_cache(value); return;
    case 0x3ff00044: cache_ctrl1 = value; show(); return;
    case 0x60000000:
        if (tx_fill >= 127 || tx_count == sizeof tx) {
            stop("uart: FIFO runs over");
        }
        tx_fill++;
        tx[tx_count++] = (uint8_t)value;
        return;
    case 0x3ff40014:
        if (tx_fill) {
            stop("uart: rate changed while it sends");
        }
        uart_clkdiv = value;
        return;
    case 0x3ff40020: uart_conf0 = value; return;
    case 0x3ff48000:
        if (value >> 31) {
            reset_state = 3;
            longjmp(on_reset, 1);
        }
        return;
    default: stop("write of %08x to %08x", value, address);
    }
}

/* What differs by chip and is instructions: the driver's esp32.c, without them. */
void esp_chip_start(void)
{
}

uint64_t esp_chip_ticks(void)
{
    return accesses;
}

static void start(uint32_t why)
{
    reset_state = why;
    cache_ctrl = 8; /* on, as the ROM leaves it after a load from flash */
    cache_ctrl1 = 0x1f;
    cache_idle_in = 4;
    cache_is_stale = 1;
    memset(mmu, 0xff, sizeof mmu);
    wdt[0] = 1u << 14;
    wdt[2] = 1u << 10;
    memset(locks, 0, sizeof locks);
    accesses = 0;
    tx_fill = 9; /* of the ROM's own message */
    show();
    hal_init();
}

#define CHECK(claim)                                                                             \
    do {                                                                                         \
        if (!(claim)) {                                                                          \
            stop("%d: %s", __LINE__, #claim);                                                    \
        }                                                                                        \
    } while (0)

static void flash_as_promised(void)
{
    const struct hal_flash *const f = hal.flash;
    uint8_t data[700], back[700];

    for (uint32_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(i * 7 + 1);
    }
    CHECK(f->bytes == CELLS && f->erase_bytes == 4096 && f->program_bytes == 4);
    CHECK(f->read(0x20010, back, 16) == 0 && back[0] == 0x5a); /* what was there at the start */
    CHECK(f->erase(0x20000) == 0 && f->read(0x20010, back, 16) == 0 && back[0] == 0xff);
    CHECK(cells[0x1ffff] == 0x5a && cells[0x21000] == 0x5a && cells[0x20fff] == 0xff);
    /* Over two ends of pages and several fills of the buffer. */
    CHECK(f->program(0x200fc, data, sizeof data) == 0);
    CHECK(memcmp(cells + 0x200fc, data, sizeof data) == 0);
    CHECK(cells[0x200fb] == 0xff && cells[0x200fc + sizeof data] == 0xff);
    CHECK(f->read(0x200fc, back, sizeof back) == 0 && memcmp(back, data, sizeof data) == 0);
    for (uint32_t len = 4; len <= 68; len += 4) {
        CHECK(f->erase(0x3ff000) == 0 && f->program(0x400000 - len, data, len) == 0);
        CHECK(memcmp(cells + 0x400000 - len, data, len) == 0);
    }
    /* From flash to flash, as when an image is copied. */
    CHECK(f->program(0x20800, (const void *)(uintptr_t)(DROM0 + 0x200fc), 300) == 0);
    CHECK(memcmp(cells + 0x20800, data, 300) == 0);

    const int before = commands;

    CHECK(f->program(0x20100, data + 1, 4) == FLASH_EVERIFY);
    CHECK(f->program(0x20f01, data, 4) == FLASH_EALIGN && f->erase(0x20100) == FLASH_EALIGN);
    CHECK(f->erase(CELLS) == FLASH_EBOUNDS && f->program(CELLS - 4, data, 8) == FLASH_EBOUNDS);
    CHECK(f->read(CELLS, back, 1) == FLASH_EBOUNDS && commands == before);
    CHECK((spi.user & 0xf0) == 0xf0); /* clock edges and times as the ROM set them */
    for (uint32_t page = 0; page < 64; page++) { /* both buses show the same */
        CHECK(mmu[page] == page && mmu[128 + page] == page);
    }
    CHECK(!(cache_ctrl1 & 0x12));
}

static void console_as_promised(void)
{
    static const char text[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    uint8_t long_text[3000];
    const double divider = (uart_clkdiv & 0xfffff) + (uart_clkdiv >> 20) / 16.0;
    const double baud = 40e6 / divider;

    CHECK(baud > 114900 && baud < 115500);
    CHECK((uart_conf0 & 0x3f) == 0x1c && uart_conf0 >> 27 & 1); /* 8N1, from APB_CLK */
    CHECK(hal.uart->read() == -1);
    memcpy(rx, "ok\xff", rx_count = 3);
    CHECK(hal.uart->read() == 'o' && hal.uart->read() == 'k' && hal.uart->read() == 0xff);
    CHECK(hal.uart->read() == -1);
    tx_count = 0;
    for (uint32_t i = 0; i < sizeof long_text; i++) {
        long_text[i] = (uint8_t)text[i % (sizeof text - 1)];
    }
    hal.uart->write(long_text, sizeof long_text);
    CHECK(tx_count == sizeof long_text && memcmp(tx, long_text, tx_count) == 0);
}

int main(void)
{
    static const enum hal_reset_cause causes[] = { HAL_RESET_REQUESTED, HAL_RESET_FAULT };
    uint8_t id[16];

    setvbuf(stdout, NULL, _IONBF, 0);
    view = mmap((void *)(uintptr_t)DROM0, CELLS, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    CHECK(view == (uint8_t *)(uintptr_t)DROM0);
    memset(cells, 0x5a, sizeof cells);
    nor_busy_reads = 3; /* the reset came during an erase */
    start(1);
    CHECK(hal.reset->cause() == HAL_RESET_POWER_ON);
    accesses = BITES_AFTER;
    flash_as_promised();
    console_as_promised();
    CHECK(hal.id->read(id, sizeof id) == 6 && memcmp(id, "\x24\xf6\xa1\xb2\xc3\xd4", 6) == 0);
    CHECK(hal.id->read(id, 2) == 2);
    for (volatile uint32_t i = 0; i < 2; i++) {
        if (setjmp(on_reset) == 0) {
            hal.reset->now(causes[i]);
        }
        start(3);
        CHECK(hal.reset->cause() == causes[i]);
    }
    start(9);
    CHECK(hal.reset->cause() == HAL_RESET_FAULT); /* a watchdog */
    start(15);
    CHECK(hal.reset->cause() == HAL_RESET_POWER_ON); /* a brown-out */
    printf("good\n");
    return 0;
}
