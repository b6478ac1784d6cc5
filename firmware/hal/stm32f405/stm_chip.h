/* STM32F405 on the Feather: where registers are. SPDX-License-Identifier: Apache-2.0
 * ST RM0090 (reference manual), the chapter beside each block. */
#ifndef STM_CHIP_H
#define STM_CHIP_H

#include "board_config.h"
#include "mmio.h"
#include "spi_nor.h"

/* USART: APB1's clock, a quarter of the processor's */
#define STM_USART_STATUS (BOARD_UART_BASE + 0x00u)
#define STM_USART_RECEIVED (BOARD_UART_BASE + 0x04u)
#define STM_USART_SEND (BOARD_UART_BASE + 0x04u)
#define STM_USART_BRR (BOARD_UART_BASE + 0x08u)
#define STM_USART_CR1 (BOARD_UART_BASE + 0x0cu)
#define STM_USART_UE (1u << 13)
#define STM_USART_RXNE (1u << 5)
#define STM_USART_HZ (BOARD_CLOCK_HZ / 4u)

/* RCC: APB1ENR */
#define STM_USART_CLOCK_ENABLE 0x40023840u
#define STM_USART_CLOCK (1u << 18)

/* RCC: CSR */
#define STM_RESET_FLAGS 0x40023874u
#define STM_RESET_FORGET (1u << 24)
#define STM_RESET_WATCHDOGS (1u << 29 | 1u << 30)

#define STM_TIMER_HZ (BOARD_CLOCK_HZ / 2u) /* TIM2: twice a divided APB1 */
#define STM_IWDG 0x40003000u
#define STM_UID 0x1fff7a10u /* Device electronic signature */

#define STM_FLASH spi_nor_flash

/* Reading status and data clears the flag; where there is a byte, whoever takes it does that. */
static inline void stm_chip_forget_overrun(void)
{
    if (!(mmio_read32(STM_USART_STATUS) & STM_USART_RXNE)) {
        (void)mmio_read32(STM_USART_RECEIVED);
    }
}

/* Clocks, the pins of the console, and the flash's bus. */
void stm_chip_start(void);

#endif
