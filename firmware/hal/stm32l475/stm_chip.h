/* STM32L475 on the B-L475E-IOT01A: where registers are. SPDX-License-Identifier: Apache-2.0
 * ST RM0351 (reference manual), the chapter beside each block. */
#ifndef STM_CHIP_H
#define STM_CHIP_H

#include "board_config.h"
#include "flash_mapped.h"
#include "mmio.h"

/* USART: the 16 MHz oscillator, whatever the processor runs at */
#define STM_USART_CR1 (BOARD_UART_BASE + 0x00u)
#define STM_USART_BRR (BOARD_UART_BASE + 0x0cu)
#define STM_USART_STATUS (BOARD_UART_BASE + 0x1cu)
#define STM_USART_ICR (BOARD_UART_BASE + 0x20u)
#define STM_USART_RECEIVED (BOARD_UART_BASE + 0x24u)
#define STM_USART_SEND (BOARD_UART_BASE + 0x28u)
#define STM_USART_UE (1u << 0)
#define STM_USART_ORECF (1u << 3)
#define STM_USART_HZ 16000000u

/* RCC: APB2ENR */
#define STM_USART_CLOCK_ENABLE 0x40021060u
#define STM_USART_CLOCK (1u << 14)

/* RCC: CSR */
#define STM_RESET_FLAGS 0x40021094u
#define STM_RESET_FORGET (1u << 23)
#define STM_RESET_WATCHDOGS (1u << 29 | 1u << 30)

#define STM_TIMER_HZ BOARD_CLOCK_HZ /* TIM2: APB1 is not divided */
#define STM_IWDG 0x40003000u
#define STM_UID 0x1fff7590u /* Device electronic signature */

#define STM_FLASH flash_mapped

static inline void stm_chip_forget_overrun(void)
{
    mmio_write32(STM_USART_ICR, STM_USART_ORECF);
}

/* Clocks, and the pins of the console. */
void stm_chip_start(void);

#endif
