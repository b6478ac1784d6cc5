/* STM32H743 on the Nucleo-H743ZI: where registers are. SPDX-License-Identifier: Apache-2.0
 * ST RM0433 (reference manual), the chapter beside each block. */
#ifndef STM_CHIP_H
#define STM_CHIP_H

#include "board_config.h"
#include "flash_mapped.h"
#include "mmio.h"

/* USART: APB1's clock, a quarter of the processor's */
#define STM_USART_CR1 (BOARD_UART_BASE + 0x00u)
#define STM_USART_BRR (BOARD_UART_BASE + 0x0cu)
#define STM_USART_STATUS (BOARD_UART_BASE + 0x1cu)
#define STM_USART_ICR (BOARD_UART_BASE + 0x20u)
#define STM_USART_RECEIVED (BOARD_UART_BASE + 0x24u)
#define STM_USART_SEND (BOARD_UART_BASE + 0x28u)
#define STM_USART_UE (1u << 0)
#define STM_USART_ORECF (1u << 3)
#define STM_USART_HZ (BOARD_CLOCK_HZ / 4u)

/* RCC: APB1LENR */
#define STM_USART_CLOCK_ENABLE 0x580244e8u
#define STM_USART_CLOCK (1u << 18)

/* RCC: RSR */
#define STM_RESET_FLAGS 0x580244d0u
#define STM_RESET_FORGET (1u << 16)
#define STM_RESET_WATCHDOGS (1u << 26 | 1u << 28)

#define STM_TIMER_HZ (BOARD_CLOCK_HZ / 2u) /* TIM2: twice a divided APB1 */
#define STM_IWDG 0x58004800u               /* IWDG1 */
#define STM_UID 0x1ff1e800u                /* Device electronic signature */

#define STM_FLASH flash_mapped

static inline void stm_chip_forget_overrun(void)
{
    mmio_write32(STM_USART_ICR, STM_USART_ORECF);
}

/* Clocks, and the pins of the console. */
void stm_chip_start(void);

#endif
