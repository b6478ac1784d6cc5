/* The last words of a firmware that ran into a fault. SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"

#include <string.h>

#include "hal.h"

static void put(const char *text)
{
    hal.uart->write(text, strlen(text));
}

_Noreturn void fault_report(const struct fault_word *words, size_t count)
{
    put("\r\nfault");
    for (size_t i = 0; i < count; i++) {
        char hex[9];

        for (size_t digit = 0; digit < 8; digit++) {
            hex[digit] = "0123456789abcdef"[(words[i].value >> (28 - 4 * digit)) & 15];
        }
        hex[8] = '\0';
        put(" ");
        put(words[i].name);
        put("=");
        put(hex);
    }
    put("\r\n");
    hal.reset->now(HAL_RESET_FAULT);
}
