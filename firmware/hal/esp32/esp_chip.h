/* ESP32: where registers are, and its cache. SPDX-License-Identifier: Apache-2.0
 * ESP32 Technical Reference Manual (TRM), and ESP-IDF's soc/esp32 headers, named at each. */
#ifndef ESP_CHIP_H
#define ESP_CHIP_H

#include "mmio.h"

/* The 40 MHz crystal, undivided, drives processor and peripherals after reset: TRM 3.2.3 and 3.2.4
 * (APB_CLK). The PLL stays off. */
#define ESP_UART_HZ 40000000u

/* uart_reg.h. Writes go by the AHB alias: ECO and Workarounds for Bugs in ESP32, 3.3. */
#define ESP_UART_TX_FIFO 0x60000000u
#define ESP_UART_COUNT_MASK 0xffu

/* spi_reg.h: SPI1 */
#define ESP_SPI_CMD 0x3ff42000u
#define ESP_SPI_ADDR 0x3ff42004u
#define ESP_SPI_CTRL 0x3ff42008u
#define ESP_SPI_USER 0x3ff4201cu
#define ESP_SPI_USER1 0x3ff42020u
#define ESP_SPI_USER2 0x3ff42024u
#define ESP_SPI_MOSI_DLEN 0x3ff42028u
#define ESP_SPI_MISO_DLEN 0x3ff4202cu
#define ESP_SPI_W0 0x3ff42080u
#define ESP_SPI_ADDR_SHIFT 8u     /* 24 bits, sent from the top: TRM 7.8, SPI_ADDR_REG */
#define ESP_SPI_USER_KEEP 0xf0u   /* clock edges, set-up and hold times, as the ROM left them */

/* rtc_cntl_reg.h */
#define ESP_RTC_OPTIONS0 0x3ff48000u
#define ESP_RTC_RESET_STATE 0x3ff48034u
#define ESP_RTC_WDTCONFIG0 0x3ff4808cu
#define ESP_RTC_WDTWPROTECT 0x3ff480a4u

/* timer_group_reg.h: groups 0 and 1 */
#define ESP_TIMG_WDTCONFIG0 { 0x3ff5f048u, 0x3ff60048u }
#define ESP_TIMG_WDTWPROTECT { 0x3ff5f064u, 0x3ff60064u }
#define ESP_TIMG_WDT_OFF 0u

/* efuse_reg.h: EFUSE_BLK0_RDATA1 and 2, the MAC address */
#define ESP_EFUSE_MAC_LOW 0x3ff5a004u
#define ESP_EFUSE_MAC_HIGH 0x3ff5a008u

/* dport_reg.h */
#define ESP_PRO_CACHE_CTRL 0x3ff00040u
#define ESP_PRO_CACHE_CTRL1 0x3ff00044u
#define ESP_PRO_DCACHE_DBUG0 0x3ff003f0u
#define ESP_CACHE_ENABLE (1u << 3)
#define ESP_CACHE_FLUSH_ENA (1u << 4)
#define ESP_CACHE_FLUSH_DONE (1u << 5)
#define ESP_CACHE_MASK_IRAM1 (1u << 1)
#define ESP_CACHE_MASK_DROM0 (1u << 4)
#define ESP_CACHE_STATE(value) ((value) >> 7 & 0xfffu)
#define ESP_CACHE_IDLE 1u

/* TRM 26.3.2: the table of processor 0; a page is 64 KiB. mmu_ll.h: entries from 0 are data at
 * 0x3f400000 (DROM0), from 128 instructions at 0x40400000 (IRAM1). */
#define ESP_MMU_TABLE 0x3ff10000u
#define ESP_MMU_DATA 0u
#define ESP_MMU_FETCH 128u

static inline __attribute__((always_inline)) void esp_chip_cache_off(void)
{
    while (ESP_CACHE_STATE(mmio_read32(ESP_PRO_DCACHE_DBUG0)) != ESP_CACHE_IDLE) {
    }
    mmio_write32(ESP_PRO_CACHE_CTRL, mmio_read32(ESP_PRO_CACHE_CTRL) & ~ESP_CACHE_ENABLE);
}

/* What it held is forgotten: the flash has changed. */
static inline __attribute__((always_inline)) void esp_chip_cache_on(void)
{
    const uint32_t off = mmio_read32(ESP_PRO_CACHE_CTRL) & ~ESP_CACHE_FLUSH_ENA;

    mmio_write32(ESP_PRO_CACHE_CTRL, off);
    mmio_write32(ESP_PRO_CACHE_CTRL, off | ESP_CACHE_FLUSH_ENA);
    while (!(mmio_read32(ESP_PRO_CACHE_CTRL) & ESP_CACHE_FLUSH_DONE)) {
    }
    mmio_write32(ESP_PRO_CACHE_CTRL, off);
    mmio_write32(ESP_PRO_CACHE_CTRL, off | ESP_CACHE_ENABLE);
}

/* Page by page, the flash from its start, to where data is read and where instructions are
 * fetched. The cache is off. */
static inline __attribute__((always_inline)) void esp_chip_map(uint32_t pages)
{
    for (uint32_t page = 0; page < pages; page++) {
        mmio_write32(ESP_MMU_TABLE + 4 * (ESP_MMU_DATA + page), page);
        mmio_write32(ESP_MMU_TABLE + 4 * (ESP_MMU_FETCH + page), page);
    }
    mmio_write32(ESP_PRO_CACHE_CTRL1,
                 mmio_read32(ESP_PRO_CACHE_CTRL1)
                     & ~(ESP_CACHE_MASK_IRAM1 | ESP_CACHE_MASK_DROM0));
}

/* Before anything else. */
void esp_chip_start(void);
uint64_t esp_chip_ticks(void);

#endif
