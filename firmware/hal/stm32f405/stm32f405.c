/* STM32F405: clocks, pins, serial NOR flash on SPI 1. SPDX-License-Identifier: Apache-2.0
 * ST RM0090 (reference manual): chapters "Embedded Flash memory interface", "Reset and clock control",
 * "General-purpose I/Os", "Serial peripheral interface". Pins and crystal: Adafruit Feather STM32F405
 * Express, schematic. */
#include "stm_chip.h"

#define RCC_CR 0x40023800u
#define RCC_PLLCFGR 0x40023804u
#define RCC_CFGR 0x40023808u
#define RCC_AHB1ENR 0x40023830u
#define RCC_APB1ENR 0x40023840u
#define RCC_APB2ENR 0x40023844u
#define CR_HSEON (1u << 16)
#define CR_HSERDY (1u << 17)
#define CR_PLLON (1u << 24)
#define CR_PLLRDY (1u << 25)
#define CFGR_SW 3u
#define CFGR_SW_PLL 2u
#define CFGR_SWS (3u << 2)
#define CFGR_SWS_PLL (2u << 2)
#define CFGR_APB1_BY_4 (5u << 10)
#define CFGR_APB2_BY_2 (4u << 13)
/* The crystal's 12 MHz by 12, times 336, by 2: 168 MHz; by 7, USB's 48 */
#define PLL_FROM_HSE (1u << 22)
#define PLL_M_12 12u
#define PLL_N_336 (336u << 6)
#define PLL_P_2 (0u << 16)
#define PLL_Q_7 (7u << 24)
#define GPIOA_GPIOB_CLOCKS 3u
#define TIM2_CLOCK (1u << 0)
#define SPI1_CLOCK (1u << 12)

#define FLASH_ACR 0x40023c00u
#define ACR_5_WAITS_CACHED 0x705u /* with prefetch and both caches */

#define GPIOA_MODER 0x40020000u
#define GPIOA_BSRR 0x40020018u
#define GPIOB_MODER 0x40020400u
#define GPIOB_OSPEEDR 0x40020408u
#define GPIOB_PUPDR 0x4002040cu
#define GPIOB_AFRL 0x40020420u
#define GPIOB_AFRH 0x40020424u
#define PIN_15_OF_2_BITS (3u << 30)
#define PIN_15_OUTPUT (1u << 30)
#define PIN_15_HIGH (1u << 15)
#define PIN_15_LOW (1u << 31)
#define PINS_3_TO_5_10_11_OF_2_BITS (0x3fu << 6 | 0xfu << 20)
#define PINS_3_TO_5_10_11_ALTERNATE (0x2au << 6 | 0xau << 20)
#define PINS_3_TO_5_OF_2_BITS (0x3fu << 6)
#define PINS_3_TO_5_FAST (0x2au << 6) /* a slow pin ends at 4 to 8 MHz: data sheet, I/O AC characteristics */
#define PIN_11_OF_2_BITS (3u << 22)
#define PIN_11_PULLED_UP (1u << 22) /* an open line is silent */
#define PINS_3_TO_5_OF_4_BITS (0xfffu << 12)
#define PINS_3_TO_5_AF5 (0x555u << 12)
#define PINS_10_11_OF_4_BITS (0xffu << 8)
#define PINS_10_11_AF7 (0x77u << 8)

#define SPI1_CR1 0x40013000u
#define SPI1_SR 0x40013008u
#define SPI1_DR 0x4001300cu
#define CR1_MASTER (1u << 2)
#define CR1_BY_4 (1u << 3) /* of APB2's 84 MHz */
#define CR1_ENABLE (1u << 6)
#define CR1_SELECT_BY_SOFTWARE (3u << 8)
#define SR_RXNE (1u << 0)
#define SR_BSY (1u << 7)

_Static_assert(BOARD_CLOCK_HZ == 168000000, "what the PLL is set up for");
_Static_assert(BOARD_FLASH_ERASE_BYTES == 0x1000, "what the erase command erases");

static void modify(uint32_t address, uint32_t clear, uint32_t set)
{
    mmio_write32(address, (mmio_read32(address) & ~clear) | set);
}

static void start_clocks(void)
{
    if ((mmio_read32(RCC_CFGR) & CFGR_SWS) == CFGR_SWS_PLL) {
        return; /* the bootloader has done it */
    }
    modify(RCC_CR, 0, CR_HSEON);
    while (!(mmio_read32(RCC_CR) & CR_HSERDY)) {
    }
    mmio_write32(FLASH_ACR, ACR_5_WAITS_CACHED);
    while (mmio_read32(FLASH_ACR) != ACR_5_WAITS_CACHED) {
    }
    mmio_write32(RCC_PLLCFGR, PLL_Q_7 | PLL_FROM_HSE | PLL_P_2 | PLL_N_336 | PLL_M_12);
    modify(RCC_CR, 0, CR_PLLON);
    while (!(mmio_read32(RCC_CR) & CR_PLLRDY)) {
    }
    mmio_write32(RCC_CFGR, CFGR_APB2_BY_2 | CFGR_APB1_BY_4);
    modify(RCC_CFGR, CFGR_SW, CFGR_SW_PLL);
    while ((mmio_read32(RCC_CFGR) & CFGR_SWS) != CFGR_SWS_PLL) {
    }
}

static void start_pins(void)
{
    mmio_write32(GPIOA_BSRR, PIN_15_HIGH); /* the flash's select, before it is an output */
    modify(GPIOA_MODER, PIN_15_OF_2_BITS, PIN_15_OUTPUT);
    modify(GPIOB_AFRL, PINS_3_TO_5_OF_4_BITS, PINS_3_TO_5_AF5);
    modify(GPIOB_AFRH, PINS_10_11_OF_4_BITS, PINS_10_11_AF7);
    modify(GPIOB_OSPEEDR, PINS_3_TO_5_OF_2_BITS, PINS_3_TO_5_FAST);
    modify(GPIOB_PUPDR, PIN_11_OF_2_BITS, PIN_11_PULLED_UP);
    modify(GPIOB_MODER, PINS_3_TO_5_10_11_OF_2_BITS, PINS_3_TO_5_10_11_ALTERNATE);
}

static void nor_begin(uint32_t frames)
{
    (void)frames;
    mmio_write32(GPIOA_BSRR, PIN_15_LOW);
}

static uint8_t nor_exchange(uint8_t byte)
{
    mmio_write32(SPI1_DR, byte);
    while (!(mmio_read32(SPI1_SR) & SR_RXNE)) {
    }
    return (uint8_t)mmio_read32(SPI1_DR);
}

static void nor_put(uint8_t byte)
{
    (void)nor_exchange(byte);
}

static uint8_t nor_get(void)
{
    return nor_exchange(0);
}

static void nor_end(void)
{
    while (mmio_read32(SPI1_SR) & SR_BSY) {
    }
    mmio_write32(GPIOA_BSRR, PIN_15_HIGH);
}

const struct spi_nor spi_nor = {
    .begin = nor_begin,
    .put = nor_put,
    .get = nor_get,
    .end = nor_end,
    .erase_command = SPI_NOR_ERASE_4K,
};

void stm_chip_start(void)
{
    start_clocks();
    modify(RCC_AHB1ENR, 0, GPIOA_GPIOB_CLOCKS);
    modify(RCC_APB1ENR, 0, STM_USART_CLOCK | TIM2_CLOCK);
    modify(RCC_APB2ENR, 0, SPI1_CLOCK);
    start_pins();
    mmio_write32(SPI1_CR1, CR1_SELECT_BY_SOFTWARE | CR1_ENABLE | CR1_BY_4 | CR1_MASTER);
    spi_nor_start();
}
