/* The console's interrupt. SPDX-License-Identifier: Apache-2.0
 * An Armv6-M core has its vectors where the bootloader's are, so it takes none here.
 * Registers: Arm DDI 0403E (Armv7-M), DDI 0553 (Armv8-M). */
#include "board_config.h"

#ifdef BOARD_UART_IRQ

#include "cortexm.h"
#include "link.h"
#include "mmio.h"

#define NVIC_ISER (0xe000e100u + BOARD_UART_IRQ / 32u * 4u)
#define NVIC_ISPR (0xe000e200u + BOARD_UART_IRQ / 32u * 4u)
#define SCB_VTOR 0xe000ed08u
#define IRQ_BIT (1u << BOARD_UART_IRQ % 32u)

typedef void (*handler)(void);

_Static_assert(BOARD_UART_IRQ < 48, "the table is aligned for 64 entries");

/* In place of those that the core started with; the gaps are interrupts that are never enabled. */
__attribute__((aligned(256))) static const handler vectors[16 + BOARD_UART_IRQ + 1] = {
    [0] = (handler)(uintptr_t)link_stack_top,
    [1] = (handler)cortexm_start,
    [2] = cortexm_nmi_handler, [3] = cortexm_fault_entry, [4] = cortexm_fault_entry,
    [5] = cortexm_fault_entry, [6] = cortexm_fault_entry, [7] = cortexm_fault_entry,
    [8] = cortexm_fault_entry, [9] = cortexm_fault_entry, [10] = cortexm_fault_entry,
    [11] = cortexm_fault_entry, [12] = cortexm_fault_entry, [13] = cortexm_fault_entry,
    [14] = cortexm_fault_entry, [15] = cortexm_systick_handler,
    [16 + BOARD_UART_IRQ] = cortexm_uart_handler,
};

void cortexm_listen(void)
{
    mmio_write32(SCB_VTOR, (uint32_t)(uintptr_t)vectors);
    __asm volatile("dsb\n isb" : : : "memory");
    mmio_write32(NVIC_ISER, IRQ_BIT);
}

void cortexm_pend_uart(void)
{
    mmio_write32(NVIC_ISPR, IRQ_BIT);
}

#endif
