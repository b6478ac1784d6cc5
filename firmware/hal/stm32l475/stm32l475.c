/* STM32L475: clocks, pins, flash. SPDX-License-Identifier: Apache-2.0
 * ST RM0351 (reference manual): chapters "Embedded Flash memory", "Reset and clock control",
 * "General-purpose I/Os". Pins: ST UM2153, "USART1 ... ST-LINK virtual COM port". */
#include <string.h>

#include "cortexm.h"
#include "stm_chip.h"

#define RCC_CR 0x40021000u
#define RCC_CFGR 0x40021008u
#define RCC_PLLCFGR 0x4002100cu
#define RCC_AHB2ENR 0x4002104cu
#define RCC_APB1ENR1 0x40021058u
#define RCC_CCIPR 0x40021088u
#define CR_HSION (1u << 8)
#define CR_HSIRDY (1u << 10)
#define CR_PLLON (1u << 24)
#define CR_PLLRDY (1u << 25)
#define CFGR_SW_PLL 3u
#define CFGR_SWS (3u << 2)
#define CFGR_SWS_PLL (3u << 2)
/* 16 MHz by 2, times 20, by 2: 80 MHz */
#define PLL_FROM_HSI 2u
#define PLL_M_2 (1u << 4)
#define PLL_N_20 (20u << 8)
#define PLL_R_2_ENABLED (1u << 24)
#define GPIOB_CLOCK (1u << 1)
#define TIM2_CLOCK (1u << 0)
#define USART1_FROM_HSI (2u << 0)

#define GPIOB_MODER 0x48000400u
#define GPIOB_PUPDR 0x4800040cu
#define GPIOB_AFRL 0x48000420u
#define PIN_6_7_OF_2_BITS (0xfu << 12)
#define PIN_6_7_ALTERNATE (0xau << 12)
#define PIN_7_PULLED_UP (1u << 14) /* an open line is silent */
#define PIN_6_7_OF_4_BITS (0xffu << 24)
#define PIN_6_7_AF7 (0x77u << 24)

#define FLASH_ACR 0x40022000u
#define FLASH_KEYR 0x40022008u
#define FLASH_SR 0x40022010u
#define FLASH_CR 0x40022014u
#define FLASH_ECCR 0x40022018u
#define ACR_LATENCY 7u
#define ACR_4_WAITS 4u /* 80 MHz at range 1 of the voltage, the reset's */
#define ACR_PRFTEN (1u << 8)
#define ACR_ICEN (1u << 9)
#define ACR_DCEN (1u << 10)
#define ACR_ICRST (1u << 11)
#define ACR_DCRST (1u << 12)
#define FLASH_KEY1 0x45670123u
#define FLASH_KEY2 0xcdef89abu
#define SR_ERRORS 0xc3fau
#define SR_BSY (1u << 16)
#define CR_PG (1u << 0)
#define CR_PER (1u << 1)
#define CR_PNB_SHIFT 3
#define CR_BKER (1u << 11)
#define CR_STRT (1u << 16)
#define CR_LOCK (1u << 31)
#define BANK_BYTES 0x80000u
#define PAGE_BYTES 0x800u

_Static_assert(BOARD_CLOCK_HZ == 80000000, "what the PLL is set up for");
_Static_assert(BOARD_FLASH_ERASE_BYTES == PAGE_BYTES, "the controller erases pages");
_Static_assert(BOARD_FLASH_PROGRAM_BYTES == 8, "the controller programs double words");

static void modify(uint32_t address, uint32_t clear, uint32_t set)
{
    mmio_write32(address, (mmio_read32(address) & ~clear) | set);
}

static void start_clocks(void)
{
    modify(RCC_CR, 0, CR_HSION);
    while (!(mmio_read32(RCC_CR) & CR_HSIRDY)) {
    }
    if ((mmio_read32(RCC_CFGR) & CFGR_SWS) == CFGR_SWS_PLL) {
        return; /* the bootloader has done it */
    }
    modify(FLASH_ACR, ACR_LATENCY, ACR_4_WAITS | ACR_PRFTEN);
    while ((mmio_read32(FLASH_ACR) & ACR_LATENCY) != ACR_4_WAITS) {
    }
    mmio_write32(RCC_PLLCFGR, PLL_R_2_ENABLED | PLL_N_20 | PLL_M_2 | PLL_FROM_HSI);
    modify(RCC_CR, 0, CR_PLLON);
    while (!(mmio_read32(RCC_CR) & CR_PLLRDY)) {
    }
    modify(RCC_CFGR, CFGR_SW_PLL, CFGR_SW_PLL);
    while ((mmio_read32(RCC_CFGR) & CFGR_SWS) != CFGR_SWS_PLL) {
    }
}

void stm_chip_start(void)
{
    start_clocks();
    modify(RCC_AHB2ENR, 0, GPIOB_CLOCK);
    modify(RCC_APB1ENR1, 0, TIM2_CLOCK);
    modify(STM_USART_CLOCK_ENABLE, 0, STM_USART_CLOCK);
    modify(RCC_CCIPR, 3u, USART1_FROM_HSI);
    modify(GPIOB_AFRL, PIN_6_7_OF_4_BITS, PIN_6_7_AF7);
    modify(GPIOB_PUPDR, PIN_6_7_OF_2_BITS, PIN_7_PULLED_UP);
    modify(GPIOB_MODER, PIN_6_7_OF_2_BITS, PIN_6_7_ALTERNATE);
}

static void flash_wait(void)
{
    while (mmio_read32(FLASH_SR) & SR_BSY) {
    }
}

/* Data is not cached meanwhile: ES0250 (errata sheet), "Data cache might be corrupted during Flash
 * memory read-while-write operation". */
static void flash_begin(uint32_t what)
{
    flash_wait();
    modify(FLASH_ACR, ACR_DCEN, 0);
    mmio_write32(FLASH_KEYR, FLASH_KEY1);
    mmio_write32(FLASH_KEYR, FLASH_KEY2);
    mmio_write32(FLASH_SR, SR_ERRORS); /* each is cleared by a one */
    mmio_write32(FLASH_CR, what);
}

/* The caches hold what was there before. */
static int flash_end(void)
{
    const uint32_t caches = ACR_ICEN | ACR_DCEN;
    uint32_t errors;

    flash_wait();
    errors = mmio_read32(FLASH_SR) & SR_ERRORS;
    mmio_write32(FLASH_CR, CR_LOCK);
    modify(FLASH_ACR, caches, 0);
    modify(FLASH_ACR, 0, ACR_ICRST | ACR_DCRST);
    modify(FLASH_ACR, ACR_ICRST | ACR_DCRST, 0);
    modify(FLASH_ACR, 0, caches);
    return errors ? FLASH_EIO : 0;
}

/* A double word whose ECC is beyond repair: the chip tells by NMI. What it guarded reads as it may. */
static volatile uint32_t unsound;

__attribute__((naked)) void cortexm_nmi_handler(void)
{
    __asm volatile("ldr r0, =%c0\n"
                   "ldr r1, [r0]\n"
                   "cmp r1, #0\n" /* ECCD is bit 31 */
                   "bpl cortexm_fault_entry\n"
                   "str r1, [r0]\n" /* cleared by a one */
                   "ldr r0, =%c1\n"
                   "str r1, [r0]\n"
                   "bx lr\n"
                   ".ltorg\n"
                   :
                   : "i"(FLASH_ECCR), "i"(&unsound));
}

/* Not from the cache, which would tell of it only once. */
static int copy_is_sound(uint32_t address, void *bytes, uint32_t len)
{
    modify(FLASH_ACR, ACR_DCEN, 0);
    unsound = 0;
    memcpy(bytes, (const void *)(uintptr_t)(BOARD_FLASH_BASE + address), len);
    __asm volatile("dsb\n isb" : : : "memory");
    modify(FLASH_ACR, 0, ACR_DCEN);
    return !unsound;
}

void flash_mapped_fetch(uint32_t address, uint8_t *bytes, uint32_t len)
{
    flash_mapped_fetch_ecc(address, bytes, len, copy_is_sound);
}

int flash_mapped_program(uint32_t address, const uint8_t *bytes, uint32_t len)
{
    flash_begin(CR_PG);
    for (uint32_t at = 0; at < len; at += 8) {
        uint32_t words[2];

        memcpy(words, bytes + at, sizeof words);
        mmio_write32(BOARD_FLASH_BASE + address + at, words[0]);
        mmio_write32(BOARD_FLASH_BASE + address + at + 4, words[1]); /* starts it */
        flash_wait();
    }
    return flash_end();
}

int flash_mapped_erase(uint32_t address)
{
    const uint32_t page = address % BANK_BYTES / PAGE_BYTES;
    const uint32_t erase = CR_PER | page << CR_PNB_SHIFT | (address < BANK_BYTES ? 0 : CR_BKER);

    flash_begin(erase);
    mmio_write32(FLASH_CR, erase | CR_STRT);
    return flash_end();
}
