/* The reason of a reset, carried over it in RAM that start-up leaves alone.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NOINIT_H
#define NOINIT_H

#include "hal.h"

/* Notes why the reset that follows happens. */
void noinit_set_cause(enum hal_reset_cause cause);

/* What was noted before this start, and forgets it: a later reset by the button reads as
 * HAL_RESET_POWER_ON. Call once, from hal_init(). */
void noinit_take_cause(void);

/* What noinit_take_cause() found. */
enum hal_reset_cause noinit_cause(void);

#endif
