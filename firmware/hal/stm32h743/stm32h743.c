/* STM32H743: supply, clocks, pins, flash. SPDX-License-Identifier: Apache-2.0
 * ST RM0433 (reference manual): chapters "Embedded flash memory", "Power control", "Reset and clock
 * control", "General-purpose I/Os"; Arm DDI 0403E, B2.2.7 (cache). Pins: ST UM2407, "USART
 * communication". */
#include <string.h>

#include "stm_chip.h"

#define RCC_CR 0x58024400u
#define RCC_CFGR 0x58024410u
#define RCC_D1CFGR 0x58024418u
#define RCC_D2CFGR 0x5802441cu
#define RCC_D3CFGR 0x58024420u
#define RCC_PLLCKSELR 0x58024428u
#define RCC_PLLCFGR 0x5802442cu
#define RCC_PLL1DIVR 0x58024430u
#define RCC_AHB4ENR 0x580244e0u
#define CR_PLL1ON (1u << 24)
#define CR_PLL1RDY (1u << 25)
#define CFGR_SW 7u
#define CFGR_SW_PLL1 3u
#define CFGR_SWS (7u << 3)
#define CFGR_SWS_PLL1 (3u << 3)
#define D1_AHB_BY_2_APB_BY_2 (4u << 4 | 8u << 0)
#define D2_APBS_BY_2 (4u << 8 | 4u << 4)
#define D3_APB_BY_2 (4u << 4)
/* 64 MHz of the HSI by 4, times 50, by 2: 400 MHz */
#define CKSELR_SOURCE_M1 (0x3fu << 4 | 3u)
#define CKSELR_HSI_BY_4 (4u << 4)
#define PLL1_FIELDS 0xfu
#define PLL1_FROM_8_TO_16_MHZ (3u << 2)
#define PLL1_N_50_P_2 (1u << 24 | 1u << 16 | 1u << 9 | 49u)
#define GPIOD_CLOCK (1u << 3)
#define TIM2_CLOCK (1u << 0)

#define PWR_CSR1 0x58024804u
#define PWR_CR3 0x5802480cu
#define PWR_D3CR 0x58024818u
#define CSR1_ACTVOSRDY (1u << 13)
#define CR3_SUPPLY 7u
#define CR3_SCUEN (1u << 2) /* the supply has not been chosen since power-on */
#define CR3_LDO (1u << 1)
#define D3CR_VOS_1 (3u << 14)
#define D3CR_VOSRDY (1u << 13)

#define GPIOD_MODER 0x58020c00u
#define GPIOD_PUPDR 0x58020c0cu
#define GPIOD_AFRH 0x58020c24u
#define PIN_8_9_OF_2_BITS (0xfu << 16)
#define PIN_8_9_ALTERNATE (0xau << 16)
#define PIN_9_PULLED_UP (1u << 18) /* an open line is silent */
#define PIN_8_9_OF_4_BITS 0xffu
#define PIN_8_9_AF7 0x77u

#define DBGMCU_IDC 0x5c001000u
#define REVISION_V 0x20000000u       /* and what came before: Z, Y */
#define AXI_TARG7_FN_MOD 0x51008108u /* of the AXI SRAM's port */
#define READ_ISS_OVERRIDE (1u << 0)

#define SCB_CCR 0xe000ed14u
#define SCB_ICIALLU 0xe000ef50u
#define CCR_BFHFNMIGN (1u << 8)
#define CCR_IC (1u << 17)

#define FLASH_ACR 0x52002000u
#define FLASH_KEYR 0x52002004u /* of bank 1, like the next three */
#define FLASH_CR 0x5200200cu
#define FLASH_SR 0x52002010u
#define FLASH_CCR 0x52002014u
#define FLASH_BANK_2 0x100u /* further on: the same of bank 2 */
#define ACR_2_WAITS 0x22u   /* of a bus of 200 MHz at VOS1, and the delay of programming for it */
#define FLASH_KEY1 0x45670123u
#define FLASH_KEY2 0xcdef89abu
#define CR_LOCK (1u << 0)
#define CR_PG (1u << 1)
#define CR_SER (1u << 2)
#define CR_PSIZE_64 (3u << 4)
#define CR_START (1u << 7)
#define CR_SNB_SHIFT 8
#define SR_QW (1u << 2)
#define SR_FLAGS 0x07ee0000u
#define SR_ERRORS 0x006e0000u /* of writing; the others are of reading */
#define SR_DBECCERR (1u << 26)
#define BANK_BYTES 0x100000u
#define SECTOR_BYTES 0x20000u
#define FLASH_WORD_BYTES 32u

_Static_assert(BOARD_CLOCK_HZ == 400000000, "what the PLL is set up for");
_Static_assert(BOARD_FLASH_ERASE_BYTES == SECTOR_BYTES, "the controller erases sectors");
_Static_assert(BOARD_FLASH_PROGRAM_BYTES == FLASH_WORD_BYTES, "what has an ECC of its own");

static void modify(uint32_t address, uint32_t clear, uint32_t set)
{
    mmio_write32(address, (mmio_read32(address) & ~clear) | set);
}

static void start_supply(void)
{
    if (mmio_read32(PWR_CR3) & CR3_SCUEN) {
        modify(PWR_CR3, CR3_SUPPLY, CR3_LDO); /* as the Nucleo is wired; once only */
    }
    while (!(mmio_read32(PWR_CSR1) & CSR1_ACTVOSRDY)) {
    }
    modify(PWR_D3CR, 0, D3CR_VOS_1);
    while (!(mmio_read32(PWR_D3CR) & D3CR_VOSRDY)) {
    }
}

static void start_clocks(void)
{
    if ((mmio_read32(RCC_CFGR) & CFGR_SWS) == CFGR_SWS_PLL1) {
        return; /* the bootloader has done it */
    }
    start_supply();
    mmio_write32(FLASH_ACR, ACR_2_WAITS);
    while (mmio_read32(FLASH_ACR) != ACR_2_WAITS) {
    }
    modify(RCC_PLLCKSELR, CKSELR_SOURCE_M1, CKSELR_HSI_BY_4);
    modify(RCC_PLLCFGR, PLL1_FIELDS, PLL1_FROM_8_TO_16_MHZ);
    mmio_write32(RCC_PLL1DIVR, PLL1_N_50_P_2);
    modify(RCC_CR, 0, CR_PLL1ON);
    while (!(mmio_read32(RCC_CR) & CR_PLL1RDY)) {
    }
    mmio_write32(RCC_D1CFGR, D1_AHB_BY_2_APB_BY_2);
    mmio_write32(RCC_D2CFGR, D2_APBS_BY_2);
    mmio_write32(RCC_D3CFGR, D3_APB_BY_2);
    modify(RCC_CFGR, CFGR_SW, CFGR_SW_PLL1);
    while ((mmio_read32(RCC_CFGR) & CFGR_SWS) != CFGR_SWS_PLL1) {
    }
}

/* Of instructions only: data is not cached, so that what the flash's controller writes is what is
 * read, and nothing has to be said of it. */
static void start_cache(void)
{
    __asm volatile("dsb\n isb" : : : "memory");
    mmio_write32(SCB_ICIALLU, 0);
    __asm volatile("dsb\n isb" : : : "memory");
    modify(SCB_CCR, 0, CCR_IC);
    __asm volatile("dsb\n isb" : : : "memory");
}

/* ES0392 (errata sheet), "Reading from AXI SRAM may lead to data read corruption". */
static void mend_axi_sram(void)
{
    if ((mmio_read32(DBGMCU_IDC) & 0xffff0000u) < REVISION_V) {
        mmio_write32(AXI_TARG7_FN_MOD, READ_ISS_OVERRIDE);
    }
}

void stm_chip_start(void)
{
    mend_axi_sram();
    start_clocks();
    start_cache();
    modify(RCC_AHB4ENR, 0, GPIOD_CLOCK);
    modify(STM_USART_CLOCK_ENABLE, 0, STM_USART_CLOCK | TIM2_CLOCK);
    modify(GPIOD_AFRH, PIN_8_9_OF_4_BITS, PIN_8_9_AF7);
    modify(GPIOD_PUPDR, PIN_8_9_OF_2_BITS, PIN_9_PULLED_UP);
    modify(GPIOD_MODER, PIN_8_9_OF_2_BITS, PIN_8_9_ALTERNATE);
}

static void flash_wait(uint32_t bank)
{
    while (mmio_read32(FLASH_SR + bank) & SR_QW) {
    }
}

/* Returns how much further on the registers of its bank are. */
static uint32_t flash_begin(uint32_t address, uint32_t what)
{
    const uint32_t bank = address < BANK_BYTES ? 0 : FLASH_BANK_2;

    flash_wait(bank);
    mmio_write32(FLASH_KEYR + bank, FLASH_KEY1);
    mmio_write32(FLASH_KEYR + bank, FLASH_KEY2);
    mmio_write32(FLASH_CCR + bank, SR_FLAGS);
    mmio_write32(FLASH_CR + bank, what);
    return bank;
}

static int flash_end(uint32_t bank)
{
    uint32_t errors;

    flash_wait(bank);
    errors = mmio_read32(FLASH_SR + bank) & SR_ERRORS;
    mmio_write32(FLASH_CR + bank, CR_PSIZE_64 | CR_LOCK);
    return errors ? FLASH_EIO : 0;
}

static int program_in_bank(uint32_t address, const uint8_t *bytes, uint32_t len)
{
    const uint32_t bank = flash_begin(address, CR_PSIZE_64 | CR_PG);

    for (uint32_t at = 0; at < len; at += 4) {
        uint32_t word;

        memcpy(&word, bytes + at, sizeof word);
        mmio_write32(BOARD_FLASH_BASE + address + at, word);
        if (at % FLASH_WORD_BYTES == FLASH_WORD_BYTES - 4) {
            __asm volatile("dsb" : : : "memory"); /* the last of eight starts it */
            flash_wait(bank);
        }
    }
    return flash_end(bank);
}

/* Copies what lies in one word of flash or more. Returns whether the ECC of all was right: where it
 * is not, the bus says so by an error, which is ignored at the priority that FAULTMASK gives
 * (Arm DDI 0403E, B3.2.8). */
static int copy_is_sound(uint32_t address, void *bytes, uint32_t len)
{
    uint32_t errors;

    __asm volatile("cpsid f" : : : "memory");
    modify(SCB_CCR, 0, CCR_BFHFNMIGN);
    __asm volatile("dsb\n isb" : : : "memory");
    memcpy(bytes, (const void *)(uintptr_t)(BOARD_FLASH_BASE + address), len);
    __asm volatile("dsb" : : : "memory");
    modify(SCB_CCR, CCR_BFHFNMIGN, 0);
    __asm volatile("dsb\n isb\n cpsie f" : : : "memory");
    errors = mmio_read32(FLASH_SR) | mmio_read32(FLASH_SR + FLASH_BANK_2);
    mmio_write32(FLASH_CCR, SR_DBECCERR);
    mmio_write32(FLASH_CCR + FLASH_BANK_2, SR_DBECCERR);
    return !(errors & SR_DBECCERR);
}

void flash_mapped_fetch(uint32_t address, uint8_t *bytes, uint32_t len)
{
    flash_mapped_fetch_ecc(address, bytes, len, copy_is_sound);
}

int flash_mapped_program(uint32_t address, const uint8_t *bytes, uint32_t len)
{
    const uint32_t room = address < BANK_BYTES ? BANK_BYTES - address : len;
    const uint32_t first = len < room ? len : room;
    const int err = program_in_bank(address, bytes, first);

    return err || first == len ? err
                               : program_in_bank(address + first, bytes + first, len - first);
}

int flash_mapped_erase(uint32_t address)
{
    const uint32_t sector = address % BANK_BYTES / SECTOR_BYTES;
    const uint32_t erase = CR_PSIZE_64 | CR_SER | sector << CR_SNB_SHIFT;
    const uint32_t bank = flash_begin(address, erase);

    mmio_write32(FLASH_CR + bank, erase | CR_START);
    return flash_end(bank);
}
