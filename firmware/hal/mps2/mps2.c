/* Arm MPS2 and MPS3 FPGA boards: CMSDK UART, SysTick. SPDX-License-Identifier: Apache-2.0
 * Registers: Arm DDI 0479D, "APB UART". */
#include "board_config.h"
#include "cortexm.h"
#include "hal.h"
#include "mmio.h"
#include "noinit.h"

#define UART_DATA (BOARD_UART_BASE + 0x00u)
#define UART_STATE (BOARD_UART_BASE + 0x04u)
#define UART_CTRL (BOARD_UART_BASE + 0x08u)
#define UART_BAUDDIV (BOARD_UART_BASE + 0x10u)

#define STATE_TX_FULL 1u
#define STATE_RX_FULL 2u
#define CTRL_TX_RX 3u

static int uart_read(void)
{
    if (!(mmio_read32(UART_STATE) & STATE_RX_FULL)) {
        return -1;
    }
    return (int)(mmio_read32(UART_DATA) & 0xffu);
}

static void uart_write(const void *bytes, size_t len)
{
    for (const uint8_t *byte = bytes; len > 0; len--) {
        while (mmio_read32(UART_STATE) & STATE_TX_FULL) {
        }
        mmio_write32(UART_DATA, *byte++);
    }
}

static size_t id_read(uint8_t *id, size_t cap)
{
    (void)id;
    (void)cap;
    return 0; /* the SCC registers name the FPGA image, not this board */
}

static const struct hal_uart uart = { .read = uart_read, .write = uart_write };
static const struct hal_clock clock = { .hz = BOARD_CLOCK_HZ, .ticks = cortexm_systick_ticks };
static const struct hal_reset reset = { .cause = noinit_cause, .now = cortexm_reset };
static const struct hal_id id = { .read = id_read };
const struct hal hal = { .uart = &uart, .clock = &clock, .reset = &reset, .id = &id };

void hal_init(void)
{
    noinit_take_cause();
    mmio_write32(UART_BAUDDIV, BOARD_CLOCK_HZ / BOARD_BAUD);
    mmio_write32(UART_CTRL, CTRL_TX_RX);
    cortexm_systick_start();
}
