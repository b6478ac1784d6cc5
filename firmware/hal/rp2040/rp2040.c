/* Raspberry Pi RP2040: clocks, UART0, timer, watchdog, flash by the ROM.
 * SPDX-License-Identifier: Apache-2.0
 * Registers: RP2040 data sheet, the section beside each block. */
#include <string.h>

#include "board_config.h"
#include "cortexm.h"
#include "flash_mapped.h"
#include "hal.h"
#include "mmio.h"
#include "noinit.h"

/* 2.1.2: every register again at aliases that set or clear bits. */
#define SET 0x2000u
#define CLEAR 0x3000u

#define RESETS_RESET 0x4000c000u /* 2.14.3 */
#define RESETS_DONE 0x4000c008u
#define RESET_IO_BANK0 (1u << 5)
#define RESET_PADS_BANK0 (1u << 8)
#define RESET_PLL_SYS (1u << 12)
#define RESET_TIMER (1u << 21)
#define RESET_UART0 (1u << 22)

#define CLK_REF_CTRL 0x40008030u /* 2.15.7 */
#define CLK_REF_SELECTED 0x40008038u
#define CLK_SYS_CTRL 0x4000803cu
#define CLK_SYS_SELECTED 0x40008044u
#define CLK_PERI_CTRL 0x40008048u
#define REF_IS_XOSC 2u
#define SYS_IS_PLL 1u /* and AUXSRC 0, PLL_SYS */
#define PERI_ENABLE (1u << 11) /* from the system clock */

#define XOSC_CTRL 0x40024000u /* 2.16.7 */
#define XOSC_STATUS 0x40024004u
#define XOSC_STARTUP 0x4002400cu
#define XOSC_ENABLE 0x00fabaa0u /* for 1 to 15 MHz */
#define XOSC_STABLE (1u << 31)
#define XOSC_HZ 12000000u
#define XOSC_1_MS (XOSC_HZ / 1000u / 256u + 1u)

#define PLL_SYS_CS 0x40028000u /* 2.18.4 */
#define PLL_SYS_PWR 0x40028004u
#define PLL_SYS_FBDIV 0x40028008u
#define PLL_SYS_PRIM 0x4002800cu
#define PLL_LOCKED (1u << 31)
#define PLL_VCO_AND_MAIN_DOWN ((1u << 5) | (1u << 0))
#define PLL_POST_DIVIDERS_DOWN (1u << 3)
#define PLL_MULTIPLY 125u /* 1500 MHz, of 750 to 1600 */
#define PLL_DIVIDE_1 6u
#define PLL_DIVIDE_2 2u

#define GPIO0_CTRL 0x40014004u /* 2.19.6.1 */
#define GPIO1_CTRL 0x4001400cu
#define GPIO_IS_UART 2u
#define PAD_GPIO1 0x4001c008u /* 2.19.6.3 */
#define PAD_INPUT_PULLED_UP 0x5au

#define UART_DATA (BOARD_UART_BASE + 0x00u) /* 4.2.8 */
#define UART_FLAGS (BOARD_UART_BASE + 0x18u)
#define UART_BAUD_WHOLE (BOARD_UART_BASE + 0x24u)
#define UART_BAUD_64THS (BOARD_UART_BASE + 0x28u)
#define UART_LINE (BOARD_UART_BASE + 0x2cu)
#define UART_CONTROL (BOARD_UART_BASE + 0x30u)
#define UART_BUSY (1u << 3)
#define UART_RX_EMPTY (1u << 4)
#define UART_TX_FULL (1u << 5)
#define UART_8_BITS_FIFO 0x70u
#define UART_ON 0x301u
#define BAUD_64THS ((4u * BOARD_CLOCK_HZ + BOARD_BAUD / 2u) / BOARD_BAUD)

#define TIMER_HZ 1000000u
#define TIMER_RAW_HIGH 0x40054024u /* 4.6.5 */
#define TIMER_RAW_LOW 0x40054028u

#define WATCHDOG_CTRL 0x40058000u /* 4.7.6 */
#define WATCHDOG_TICK 0x4005802cu
#define WATCHDOG_TRIGGER (1u << 31)
#define WATCHDOG_TICKING (1u << 9)
#define PSM_WDSEL 0x40010008u /* 2.13.5 */
#define PSM_ALL_BUT_OSCILLATORS 0x1fffcu

#define ROM_TABLES 0x14u /* 2.8.2: two pointers of 16 bits, to functions and to data */
#define ROM_LOOKUP 0x18u

#define SSI_STATUS 0x18000028u /* 4.10.13 */
#define SSI_DATA 0x18000060u
#define SSI_TX_ROOM (1u << 1)
#define SSI_RX_THERE (1u << 3)
#define QSPI_SELECT_CTRL 0x4001800cu /* 2.19.6.2 */
#define SELECT_LOW (2u << 8)
#define SELECT_HIGH (3u << 8)

#define BOOT2_WORDS 64u
#define PAGE_BYTES 256u /* what the ROM programs */
#define BLOCK_BYTES 0x10000u
#define BLOCK_ERASE 0xd8u
#define READ_UNIQUE_ID 0x4bu /* W25Q16JV data sheet, 8.2.26: 4 bytes later, 8 bytes */
#define UNIQUE_ID_DUMMIES 4u
#define UNIQUE_ID_BYTES 8u

#define RAM_CODE __attribute__((section(".ramfunc"), noinline))
#define INLINE static inline __attribute__((always_inline))

_Static_assert(XOSC_HZ * (uint64_t)PLL_MULTIPLY ==
                   BOARD_CLOCK_HZ * (uint64_t)(PLL_DIVIDE_1 * PLL_DIVIDE_2),
               "the PLL's factors give the board's clock");
_Static_assert(BOARD_FLASH_ERASE_BYTES == 4096, "the ROM erases sectors");

static int uart_read(void)
{
    if (mmio_read32(UART_FLAGS) & UART_RX_EMPTY) {
        return -1;
    }
    return (int)(mmio_read32(UART_DATA) & 0xffu);
}

static void uart_write(const void *bytes, size_t len)
{
    for (const uint8_t *byte = bytes; len > 0; len--) {
        while (mmio_read32(UART_FLAGS) & UART_TX_FULL) {
        }
        mmio_write32(UART_DATA, *byte++);
    }
}

static void uart_drain(void)
{
    while (mmio_read32(UART_FLAGS) & UART_BUSY) {
    }
}

static uint64_t timer_ticks(void)
{
    uint32_t high, low;

    do {
        high = mmio_read32(TIMER_RAW_HIGH);
        low = mmio_read32(TIMER_RAW_LOW);
    } while (high != mmio_read32(TIMER_RAW_HIGH));
    return (uint64_t)high << 32 | low;
}

/* By the watchdog: the processor's own reset request leaves the peripherals as they are. */
static _Noreturn void reset_now(enum hal_reset_cause cause)
{
    noinit_set_cause(cause);
    uart_drain();
    mmio_write32(PSM_WDSEL, PSM_ALL_BUT_OSCILLATORS);
    mmio_write32(WATCHDOG_CTRL + SET, WATCHDOG_TRIGGER);
    for (;;) {
    }
}

/* Functions of the ROM: data sheet 2.8.3.1.3. */
struct rom {
    void (*connect)(void);
    void (*leave_xip)(void);
    void (*erase)(uint32_t address, uint32_t bytes, uint32_t block_bytes, uint8_t command);
    void (*program)(uint32_t address, const uint8_t *bytes, uint32_t len);
    void (*flush)(void);
    uint32_t boot2[BOOT2_WORDS]; /* the way back; cannot be read where it is needed */
};

static uint32_t rom_function(char first, char second)
{
    uint32_t tables = ROM_TABLES, lookup = ROM_LOOKUP;

    __asm("" : "+r"(tables), "+r"(lookup)); /* GCC takes addresses this low for a null pointer's */
    const uint32_t functions = mmio_read32(tables) & 0xffffu;
    const uintptr_t find = mmio_read32(lookup) & 0xffffu;

    return ((uint32_t(*)(uint32_t, uint32_t))find)(
        functions, (uint32_t)(uint8_t)first | (uint32_t)(uint8_t)second << 8);
}

static void rom_open(struct rom *rom)
{
    rom->connect = (void (*)(void))rom_function('I', 'F');
    rom->leave_xip = (void (*)(void))rom_function('E', 'X');
    rom->erase = (void (*)(uint32_t, uint32_t, uint32_t, uint8_t))rom_function('R', 'E');
    rom->program = (void (*)(uint32_t, const uint8_t *, uint32_t))rom_function('R', 'P');
    rom->flush = (void (*)(void))rom_function('F', 'C');
    memcpy(rom->boot2, (const void *)(uintptr_t)BOARD_FLASH_BASE, sizeof rom->boot2);
}

/* From begin() to end() the flash cannot be read, nor code in it run. */
INLINE void begin(const struct rom *rom)
{
    rom->connect();
    rom->leave_xip();
}

INLINE void end(const struct rom *rom)
{
    rom->flush();
    ((void (*)(void))((uintptr_t)rom->boot2 | 1u))();
}

RAM_CODE static void erase_sector(const struct rom *rom, uint32_t address)
{
    begin(rom);
    rom->erase(address, BOARD_FLASH_ERASE_BYTES, BLOCK_BYTES, BLOCK_ERASE);
    end(rom);
}

RAM_CODE static void program_page(const struct rom *rom, uint32_t address, const uint8_t *page)
{
    begin(rom);
    rom->program(address, page, PAGE_BYTES);
    end(rom);
}

INLINE uint8_t exchange(uint8_t byte)
{
    while (!(mmio_read32(SSI_STATUS) & SSI_TX_ROOM)) {
    }
    mmio_write32(SSI_DATA, byte);
    while (!(mmio_read32(SSI_STATUS) & SSI_RX_THERE)) {
    }
    return (uint8_t)mmio_read32(SSI_DATA);
}

/* The ROM leaves the controller in frames of 8 bits; its flush gives chip select back to it. */
RAM_CODE static void read_unique_id(const struct rom *rom, uint8_t *id)
{
    begin(rom);
    mmio_write32(QSPI_SELECT_CTRL, SELECT_LOW);
    (void)exchange(READ_UNIQUE_ID);
    for (uint32_t i = 0; i < UNIQUE_ID_DUMMIES; i++) {
        (void)exchange(0);
    }
    for (uint32_t i = 0; i < UNIQUE_ID_BYTES; i++) {
        id[i] = exchange(0);
    }
    mmio_write32(QSPI_SELECT_CTRL, SELECT_HIGH);
    end(rom);
}

static size_t id_read(uint8_t *id, size_t cap)
{
    const size_t len = cap < UNIQUE_ID_BYTES ? cap : UNIQUE_ID_BYTES;
    uint8_t whole[UNIQUE_ID_BYTES];
    struct rom rom;

    rom_open(&rom);
    read_unique_id(&rom, whole);
    memcpy(id, whole, len);
    return len;
}

/* Bytes of a page that are not meant are programmed with ones, which leaves them as they are. */
int flash_mapped_program(uint32_t address, const uint8_t *bytes, uint32_t len)
{
    uint8_t page[PAGE_BYTES];
    struct rom rom;

    rom_open(&rom);
    while (len > 0) {
        const uint32_t offset = address % PAGE_BYTES;
        const uint32_t room = PAGE_BYTES - offset;
        const uint32_t part = len < room ? len : room;

        memset(page, 0xff, sizeof page);
        memcpy(page + offset, bytes, part);
        program_page(&rom, address - offset, page);
        bytes += part;
        address += part;
        len -= part;
    }
    return 0;
}

int flash_mapped_erase(uint32_t address)
{
    struct rom rom;

    rom_open(&rom);
    erase_sector(&rom, address);
    return 0;
}

static const struct hal_uart uart = { .read = uart_read, .write = uart_write };
static const struct hal_clock clock = { .hz = TIMER_HZ, .ticks = timer_ticks };
static const struct hal_reset reset = { .cause = noinit_cause, .now = reset_now };
static const struct hal_id id = { .read = id_read };
const struct hal hal = {
    .uart = &uart, .clock = &clock, .reset = &reset, .id = &id, .flash = &flash_mapped,
};

static void leave_reset(uint32_t blocks)
{
    mmio_write32(RESETS_RESET + CLEAR, blocks);
    while ((mmio_read32(RESETS_DONE) & blocks) != blocks) {
    }
}

/* The crystal for reference and timer, 125 MHz for the rest. What ran before may have left the PLL
 * on, so the system clock leaves it first. */
static void start_clocks(void)
{
    mmio_write32(XOSC_STARTUP, XOSC_1_MS);
    mmio_write32(XOSC_CTRL, XOSC_ENABLE);
    while (!(mmio_read32(XOSC_STATUS) & XOSC_STABLE)) {
    }
    mmio_write32(CLK_SYS_CTRL + CLEAR, SYS_IS_PLL);
    while (!(mmio_read32(CLK_SYS_SELECTED) & 1u)) {
    }
    mmio_write32(CLK_REF_CTRL, REF_IS_XOSC);
    while (!(mmio_read32(CLK_REF_SELECTED) & 1u << REF_IS_XOSC)) {
    }
    mmio_write32(RESETS_RESET + SET, RESET_PLL_SYS);
    leave_reset(RESET_PLL_SYS);
    mmio_write32(PLL_SYS_CS, 1); /* the crystal, undivided */
    mmio_write32(PLL_SYS_FBDIV, PLL_MULTIPLY);
    mmio_write32(PLL_SYS_PWR + CLEAR, PLL_VCO_AND_MAIN_DOWN);
    while (!(mmio_read32(PLL_SYS_CS) & PLL_LOCKED)) {
    }
    mmio_write32(PLL_SYS_PRIM, PLL_DIVIDE_1 << 16 | PLL_DIVIDE_2 << 12);
    mmio_write32(PLL_SYS_PWR + CLEAR, PLL_POST_DIVIDERS_DOWN);
    mmio_write32(CLK_SYS_CTRL, SYS_IS_PLL);
    while (!(mmio_read32(CLK_SYS_SELECTED) & 1u << SYS_IS_PLL)) {
    }
    mmio_write32(CLK_PERI_CTRL, PERI_ENABLE);
    mmio_write32(WATCHDOG_TICK, WATCHDOG_TICKING | XOSC_HZ / TIMER_HZ);
}

static void start_uart(void)
{
    mmio_write32(UART_CONTROL, 0); /* it is set up while it is off; the bootloader left it on */
    mmio_write32(UART_BAUD_WHOLE, BAUD_64THS / 64u);
    mmio_write32(UART_BAUD_64THS, BAUD_64THS % 64u);
    mmio_write32(UART_LINE, UART_8_BITS_FIFO); /* also takes the two above over */
    mmio_write32(UART_CONTROL, UART_ON);
    mmio_write32(PAD_GPIO1, PAD_INPUT_PULLED_UP); /* an open line is silent */
    mmio_write32(GPIO0_CTRL, GPIO_IS_UART);
    mmio_write32(GPIO1_CTRL, GPIO_IS_UART);
}

void hal_init(void)
{
    cortexm_take_vectors();
    noinit_take_cause();
    if (!(mmio_read32(RESETS_RESET) & RESET_UART0)) {
        uart_drain(); /* of what the bootloader said, before the clocks change */
    }
    start_clocks();
    leave_reset(RESET_IO_BANK0 | RESET_PADS_BANK0 | RESET_TIMER | RESET_UART0);
    start_uart();
}

const struct hal_uart *hal_listen(void)
{
    return &uart; /* polled: its FIFO keeps 32 bytes, and no interrupt may come while XIP is off */
}
