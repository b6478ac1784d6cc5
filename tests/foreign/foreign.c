/* A firmware that knows nothing of this project but numbers of its board: says its version, again
 * and again. SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

/* Arm DDI 0479D, "APB UART". */
#define DATA (*(volatile uint32_t *)(UART_BASE + 0x00u))
#define STATE (*(volatile uint32_t *)(UART_BASE + 0x04u))
#define CTRL (*(volatile uint32_t *)(UART_BASE + 0x08u))
#define TX_FULL 1u
#define TX_ENABLE 1u

void reset(void);

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[2] = {
    STACK_TOP, (uintptr_t)reset,
};

void reset(void)
{
    CTRL = TX_ENABLE;
    for (;;) {
        for (const char *text = "foreign " VERSION "\r\n"; *text; text++) {
            while (STATE & TX_FULL) {
            }
            DATA = (uint32_t)*text;
        }
    }
}
