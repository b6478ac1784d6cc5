/* The last words of a firmware that ran into a fault. SPDX-License-Identifier: Apache-2.0 */
#ifndef FAULT_H
#define FAULT_H

#include <stddef.h>
#include <stdint.h>

struct fault_word {
    const char *name;
    uint32_t value;
};

/* Writes `fault NAME=HEX ...` to the console, then resets with HAL_RESET_FAULT. Uses the
 * console by polling only; call it on a stack known to be good. */
_Noreturn void fault_report(const struct fault_word *words, size_t count);

#endif
