/* What the firmware calls of a C library besides what bootloader/memory.c has: the system's cannot
 * be linked into an image that starts without it. SPDX-License-Identifier: Apache-2.0
 * Names and meanings are C11's. */
#include <stdint.h>
#include <string.h>

/* Else the compiler makes each loop a call of the function that it is in. */
#pragma GCC optimize("no-tree-loop-distribute-patterns")

int strcmp(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return (uint8_t)*a - (uint8_t)*b;
}

int strncmp(const char *a, const char *b, size_t len)
{
    for (; len > 0; len--, a++, b++) {
        if (*a != *b || *a == '\0') {
            return (uint8_t)*a - (uint8_t)*b;
        }
    }
    return 0;
}

size_t strcspn(const char *text, const char *reject)
{
    size_t len = 0;

    for (; text[len] != '\0'; len++) {
        for (const char *r = reject; *r != '\0'; r++) {
            if (text[len] == *r) {
                return len;
            }
        }
    }
    return len;
}
