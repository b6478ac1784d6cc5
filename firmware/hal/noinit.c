/* The reason of a reset, carried over it in RAM that start-up leaves alone.
 * SPDX-License-Identifier: Apache-2.0 */
#include "noinit.h"

#define MAGIC 0x72636175u

/* RAM holds noise after power-on; the complement makes noise that looks like a note unlikely
 * (one in 2^64). */
static struct {
    uint32_t magic;
    uint32_t cause;
    uint32_t inverse;
} note __attribute__((section(".noinit")));

static enum hal_reset_cause found;

void noinit_set_cause(enum hal_reset_cause cause)
{
    note.magic = MAGIC;
    note.cause = (uint32_t)cause;
    note.inverse = ~(uint32_t)cause;
}

void noinit_take_cause(void)
{
    found = HAL_RESET_POWER_ON;
    if (note.magic == MAGIC && note.cause == ~note.inverse && note.cause <= HAL_RESET_FAULT) {
        found = (enum hal_reset_cause)note.cause;
    }
    note.magic = 0;
}

enum hal_reset_cause noinit_cause(void)
{
    return found;
}
