/* A hal for the build machine: the console is standard input and output, and the program ends
 * with the input. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "hal.h"
#include "stack.h"

static uint64_t now;

static int uart_read(void)
{
    const int byte = getchar();

    if (byte == EOF) {
        fflush(stdout);
        exit(0);
    }
    return byte;
}

static void uart_write(const void *bytes, size_t len)
{
    fwrite(bytes, 1, len, stdout);
}

static uint64_t ticks(void)
{
    return now += 1000;
}

static enum hal_reset_cause cause(void)
{
    return HAL_RESET_POWER_ON;
}

static _Noreturn void reset_now(enum hal_reset_cause why)
{
    fflush(stdout);
    exit(why == HAL_RESET_REQUESTED ? 0 : 1);
}

static size_t id_read(uint8_t *id, size_t cap)
{
    for (size_t i = 0; i < cap; i++) {
        id[i] = (uint8_t)i;
    }
    return cap;
}

static const struct hal_uart uart = { .read = uart_read, .write = uart_write };
static const struct hal_clock clock = { .hz = 1000000, .ticks = ticks };
static const struct hal_reset reset = { .cause = cause, .now = reset_now };
static const struct hal_id id = { .read = id_read };
const struct hal hal = { .uart = &uart, .clock = &clock, .reset = &reset, .id = &id };

void hal_init(void)
{
}

uint32_t stack_bytes(void)
{
    return 4096;
}

uint32_t stack_high_water(void)
{
    return 0;
}

struct hal_received hal_received;

const struct hal_uart *hal_listen(void)
{
    return hal.uart;
}
