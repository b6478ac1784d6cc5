/* What all Cortex-M cores have: vectors, fault handler, system timer, reset.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CORTEXM_H
#define CORTEXM_H

#include <stdint.h>

#include "hal.h"

/* Resets the chip by AIRCR.SYSRESETREQ, after noting the cause. */
_Noreturn void cortexm_reset(enum hal_reset_cause cause);

/* Takes exceptions from this image's table. Start-up code has done so on Armv7-M and newer; on a
 * Cortex-M0+ that has the register, hal_init() does. */
void cortexm_take_vectors(void);

/* Starts SysTick at the core's clock, with an interrupt at every 2^24 ticks. */
void cortexm_systick_start(void);

/* SysTick extended to 64 bits. Not from an interrupt. */
uint64_t cortexm_systick_ticks(void);

/* Has cortexm_uart_handler(), which is the chip's, called at the interrupt BOARD_UART_IRQ. */
void cortexm_listen(void);
void cortexm_uart_handler(void);

/* Calls it once more, as soon as it can be. */
void cortexm_pend_uart(void);

/* A chip that is told something by NMI has one of its own; it ends the run otherwise. */
void cortexm_nmi_handler(void);

void cortexm_fault_entry(void);
void cortexm_systick_handler(void);
_Noreturn void cortexm_start(void);

#endif
