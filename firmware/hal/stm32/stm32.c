/* What ST's STM32 have in common: a USART, TIM2, the independent watchdog, reset flags, unique id.
 * SPDX-License-Identifier: Apache-2.0
 * stm_chip.h has each chip's addresses and their sources; fields are the same in all. */
#include "board_config.h"
#include "cortexm.h"
#include "extend.h"
#include "hal.h"
#include "mmio.h"
#include "noinit.h"
#include "stm_chip.h"
#include "uart_ring.h"

#define USART_TE (1u << 3) /* CR1 */
#define USART_RE (1u << 2)
#define USART_RXNEIE (1u << 5)
#define USART_ORE (1u << 3) /* SR, ISR */
#define USART_RXNE (1u << 5)
#define USART_TC (1u << 6)
#define USART_TXE (1u << 7)
#define USART_ON (STM_USART_UE | USART_TE | USART_RE)

#define TIM2_CR1 0x40000000u
#define TIM2_EGR 0x40000014u
#define TIM2_CNT 0x40000024u
#define TIM2_PSC 0x40000028u
#define TIM_CEN 1u
#define TIM_UG 1u
#define TIMER_HZ 1000000u

#define IWDG_KR (STM_IWDG + 0x0u)
#define IWDG_PR (STM_IWDG + 0x4u)
#define IWDG_RLR (STM_IWDG + 0x8u)
#define IWDG_SR (STM_IWDG + 0xcu)
#define IWDG_START 0xccccu
#define IWDG_UNLOCK 0x5555u
#define IWDG_FEED 0xaaaau
#define IWDG_BY_256 6u
#define IWDG_MOST 0xfffu /* at 32 kHz, 32 seconds */

#define ID_BYTES 12u

static struct extend timer;
static enum hal_reset_cause cause;

static int uart_read(void)
{
    if (!(mmio_read32(STM_USART_STATUS) & USART_RXNE)) {
        return -1;
    }
    return (int)(mmio_read32(STM_USART_RECEIVED) & 0xffu);
}

static void uart_write(const void *bytes, size_t len)
{
    for (const uint8_t *byte = bytes; len > 0; len--) {
        while (!(mmio_read32(STM_USART_STATUS) & USART_TXE)) {
        }
        mmio_write32(STM_USART_SEND, *byte++);
    }
}

static void uart_drain(void)
{
    while (!(mmio_read32(STM_USART_STATUS) & USART_TC)) {
    }
}

static uint64_t timer_ticks(void)
{
    mmio_write32(IWDG_KR, IWDG_FEED);
    return extend_ticks(&timer, mmio_read32(TIM2_CNT));
}

static enum hal_reset_cause reset_cause(void)
{
    return cause;
}

static _Noreturn void reset_now(enum hal_reset_cause why)
{
    uart_drain();
    cortexm_reset(why);
}

static size_t id_read(uint8_t *id, size_t cap)
{
    const size_t len = cap < ID_BYTES ? cap : ID_BYTES;

    for (size_t i = 0; i < len; i++) {
        const uint32_t word = mmio_read32(STM_UID + 8u - 4u * (uint32_t)(i / 4));

        id[i] = (uint8_t)(word >> (24 - 8 * (i & 3)));
    }
    return len;
}

static const struct hal_uart uart = { .read = uart_read, .write = uart_write };
static const struct hal_clock clock = { .hz = TIMER_HZ, .ticks = timer_ticks };
static const struct hal_reset reset = { .cause = reset_cause, .now = reset_now };
static const struct hal_id id = { .read = id_read };
const struct hal hal = {
    .uart = &uart, .clock = &clock, .reset = &reset, .id = &id, .flash = &STM_FLASH,
};

/* What the chip says counts before what the firmware had noted for a reset of its own. */
static void find_cause(void)
{
    const uint32_t flags = mmio_read32(STM_RESET_FLAGS);

    /* They are kept until cleared, and cleared for as long as the bit is set. */
    mmio_write32(STM_RESET_FLAGS, flags | STM_RESET_FORGET);
    mmio_write32(STM_RESET_FLAGS, flags & ~STM_RESET_FORGET);
    noinit_take_cause();
    cause = flags & STM_RESET_WATCHDOGS ? HAL_RESET_FAULT : noinit_cause();
}

static void start_uart(void)
{
    mmio_write32(STM_USART_CR1, 0);
    mmio_write32(STM_USART_BRR, (STM_USART_HZ + BOARD_BAUD / 2) / BOARD_BAUD);
    mmio_write32(STM_USART_CR1, USART_ON);
}

static void start_timer(void)
{
    mmio_write32(TIM2_PSC, STM_TIMER_HZ / TIMER_HZ - 1);
    mmio_write32(TIM2_EGR, TIM_UG); /* takes the prescaler over */
    mmio_write32(TIM2_CR1, TIM_CEN);
}

/* Nothing stops it any more, but a reset. */
static void start_watchdog(void)
{
    mmio_write32(IWDG_KR, IWDG_START);
    mmio_write32(IWDG_KR, IWDG_UNLOCK);
    mmio_write32(IWDG_PR, IWDG_BY_256);
    mmio_write32(IWDG_RLR, IWDG_MOST);
    while (mmio_read32(IWDG_SR)) {
    }
    mmio_write32(IWDG_KR, IWDG_FEED);
}

void hal_init(void)
{
    if (mmio_read32(STM_USART_CLOCK_ENABLE) & STM_USART_CLOCK) {
        uart_drain(); /* of what the bootloader said, before the clocks change */
    }
    stm_chip_start();
    find_cause();
    start_uart();
    start_timer();
    start_watchdog();
}

void cortexm_uart_handler(void)
{
    for (;;) {
        const uint32_t status = mmio_read32(STM_USART_STATUS);

        if (status & USART_ORE) {
            stm_chip_forget_overrun();
            uart_ring_lose();
        }
        if (!(status & USART_RXNE)) {
            return;
        }
        if (uart_ring_is_full()) {
            mmio_write32(STM_USART_CR1, USART_ON);
            uart_ring_pause();
            return;
        }
        uart_ring_put((uint8_t)mmio_read32(STM_USART_RECEIVED));
    }
}

static int kept_read(void)
{
    const int byte = uart_ring_take();

    if (byte >= 0 && uart_ring_resumes()) {
        mmio_write32(STM_USART_CR1, USART_ON | USART_RXNEIE); /* what came is there still */
    }
    return byte;
}

static const struct hal_uart kept = { .read = kept_read, .write = uart_write };

const struct hal_uart *hal_listen(void)
{
    cortexm_listen();
    mmio_write32(STM_USART_CR1, USART_ON | USART_RXNEIE);
    return &kept;
}
