/* ESP32-C3: where registers are, and its cache. SPDX-License-Identifier: Apache-2.0
 * ESP32-C3 Technical Reference Manual (TRM), and ESP-IDF's soc/esp32c3 headers, named at each. */
#ifndef ESP_CHIP_H
#define ESP_CHIP_H

#include "mmio.h"

/* uart_reg.h. The UART takes the 40 MHz crystal: UART_CLK_CONF, SCLK_SEL = 3. */
#define ESP_UART_HZ 40000000u
#define ESP_UART_TX_FIFO 0x60000000u
#define ESP_UART_COUNT_MASK 0x3ffu
#define ESP_UART_CLK_CONF 0x60000078u
#define ESP_UART_CLK_CRYSTAL (3u << 20)
#define ESP_UART_CLK_FIELDS (3u << 20 | 0xffu << 12)

/* spi_mem_reg.h: SPI1 */
#define ESP_SPI_CMD 0x60002000u
#define ESP_SPI_ADDR 0x60002004u
#define ESP_SPI_CTRL 0x60002008u
#define ESP_SPI_USER 0x60002018u
#define ESP_SPI_USER1 0x6000201cu
#define ESP_SPI_USER2 0x60002020u
#define ESP_SPI_MOSI_DLEN 0x60002024u
#define ESP_SPI_MISO_DLEN 0x60002028u
#define ESP_SPI_W0 0x60002058u
#define ESP_SPI_ADDR_SHIFT 0u    /* spimem_flash_ll.h: as it is */
#define ESP_SPI_USER_KEEP 0x2c0u /* clock edge, set-up and hold times, as the ROM left them */

/* rtc_cntl_reg.h */
#define ESP_RTC_OPTIONS0 0x60008000u
#define ESP_RTC_RESET_STATE 0x60008038u
#define ESP_RTC_WDTCONFIG0 0x60008090u
#define ESP_RTC_WDTWPROTECT 0x600080a8u
#define ESP_RTC_SWD_CONF 0x600080acu
#define ESP_RTC_SWD_WPROTECT 0x600080b0u
#define ESP_RTC_SWD_KEY 0x8f1d312au
#define ESP_RTC_SWD_AUTO_FEED (1u << 31)

/* timer_group_reg.h: groups 0 and 1 */
#define ESP_TIMG_WDTCONFIG0 { 0x6001f048u, 0x60020048u }
#define ESP_TIMG_WDTWPROTECT { 0x6001f064u, 0x60020064u }
#define ESP_TIMG_WDT_OFF (1u << 22) /* TIMG_WDT_CONF_UPDATE_EN: take over the rest, zeros */

/* efuse_reg.h: EFUSE_RD_MAC_SPI_SYS_0 and 1, the MAC address */
#define ESP_EFUSE_MAC_LOW 0x60008844u
#define ESP_EFUSE_MAC_HIGH 0x60008848u

/* system_reg.h: SYSTEM_SYSCLK_CONF */
#define ESP_SYSCLK_CONF 0x600c0058u
#define ESP_SYSCLK_FIELDS (3u << 10 | 0x3ffu)

/* extmem_reg.h */
#define ESP_ICACHE_CTRL 0x600c4000u
#define ESP_ICACHE_CTRL1 0x600c4004u
#define ESP_ICACHE_SYNC_CTRL 0x600c4028u
#define ESP_ICACHE_SYNC_ADDR 0x600c402cu
#define ESP_ICACHE_SYNC_SIZE 0x600c4030u
#define ESP_CACHE_STATE 0x600c40b0u
#define ESP_ICACHE_ENABLE 1u
#define ESP_ICACHE_SHUT 3u /* instruction and data bus */
#define ESP_ICACHE_INVALIDATE 1u
#define ESP_ICACHE_SYNC_DONE 2u
#define ESP_ICACHE_IDLE 1u
#define ESP_ICACHE_LINE_BYTES 32u /* TRM 3.3.3.2 */

/* reg_base.h, ext_mem_defs.h: 128 entries of 64 KiB, the same for both buses. */
#define ESP_MMU_TABLE 0x600c5000u

static inline __attribute__((always_inline)) void esp_chip_cache_off(void)
{
    while ((mmio_read32(ESP_CACHE_STATE) & 0xfffu) != ESP_ICACHE_IDLE) {
    }
    mmio_write32(ESP_ICACHE_CTRL, mmio_read32(ESP_ICACHE_CTRL) & ~ESP_ICACHE_ENABLE);
}

/* What it held is forgotten: the flash has changed. */
static inline __attribute__((always_inline)) void esp_chip_cache_on(void)
{
    for (uint32_t bus = 0; bus < 2; bus++) {
        mmio_write32(ESP_ICACHE_SYNC_ADDR, bus ? 0x42000000u : 0x3c000000u);
        mmio_write32(ESP_ICACHE_SYNC_SIZE, 0x800000u / ESP_ICACHE_LINE_BYTES);
        mmio_write32(ESP_ICACHE_SYNC_CTRL, ESP_ICACHE_INVALIDATE);
        while (!(mmio_read32(ESP_ICACHE_SYNC_CTRL) & ESP_ICACHE_SYNC_DONE)) {
        }
    }
    mmio_write32(ESP_ICACHE_CTRL, mmio_read32(ESP_ICACHE_CTRL) | ESP_ICACHE_ENABLE);
}

/* Page by page, the flash from its start. The cache is off. */
static inline __attribute__((always_inline)) void esp_chip_map(uint32_t pages)
{
    for (uint32_t page = 0; page < pages; page++) {
        mmio_write32(ESP_MMU_TABLE + 4 * page, page);
    }
    mmio_write32(ESP_ICACHE_CTRL1, mmio_read32(ESP_ICACHE_CTRL1) & ~ESP_ICACHE_SHUT);
}

/* Before anything else. */
void esp_chip_start(void);
uint64_t esp_chip_ticks(void);

#endif
