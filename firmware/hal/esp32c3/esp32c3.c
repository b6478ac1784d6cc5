/* ESP32-C3: what differs from its relatives. SPDX-License-Identifier: Apache-2.0
 * ESP32-C3 Technical Reference Manual (TRM); systimer_reg.h. */
#include "esp_chip.h"

/* TRM 10.4: the system timer counts the crystal's 40 MHz by 2.5. */
#define UNIT0_OP 0x60023004u
#define UNIT0_VALUE_HI 0x60023040u
#define UNIT0_VALUE_LO 0x60023044u
#define UNIT0_UPDATE (1u << 30)
#define UNIT0_VALID (1u << 29)

uint64_t esp_chip_ticks(void)
{
    mmio_write32(UNIT0_OP, UNIT0_UPDATE);
    while (!(mmio_read32(UNIT0_OP) & UNIT0_VALID)) {
    }
    const uint64_t high = mmio_read32(UNIT0_VALUE_HI);

    return high << 32 | mmio_read32(UNIT0_VALUE_LO);
}

/* The super watchdog feeds itself. Processor and UART take the crystal, undivided, whatever the
 * ROM chose. */
void esp_chip_start(void)
{
    mmio_write32(ESP_RTC_SWD_WPROTECT, ESP_RTC_SWD_KEY);
    mmio_write32(ESP_RTC_SWD_CONF, mmio_read32(ESP_RTC_SWD_CONF) | ESP_RTC_SWD_AUTO_FEED);
    mmio_write32(ESP_RTC_SWD_WPROTECT, 0);
    mmio_write32(ESP_SYSCLK_CONF, mmio_read32(ESP_SYSCLK_CONF) & ~ESP_SYSCLK_FIELDS);
    mmio_write32(ESP_UART_CLK_CONF,
                 (mmio_read32(ESP_UART_CLK_CONF) & ~ESP_UART_CLK_FIELDS) | ESP_UART_CLK_CRYSTAL);
}
