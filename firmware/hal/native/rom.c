/* What GCC and the firmware call of a C library: the system's cannot be linked into an image that
 * starts without it. SPDX-License-Identifier: Apache-2.0
 * Names and meanings are C11's. */
#include <stdint.h>
#include <string.h>

/* Else the compiler makes each loop a call of the function that it is in. */
#pragma GCC optimize("no-tree-loop-distribute-patterns")

void *memcpy(void *to, const void *from, size_t len)
{
    void *const start = to;

    __asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len) : : "memory");
    return start;
}

void *memset(void *to, int byte, size_t len)
{
    void *const start = to;

    __asm volatile("rep stosb" : "+D"(to), "+c"(len) : "a"(byte) : "memory");
    return start;
}

void *memmove(void *to, const void *from, size_t len)
{
    uint8_t *const out = to;
    const uint8_t *const in = from;

    if ((uintptr_t)out - (uintptr_t)in >= len) {
        return memcpy(to, from, len); /* forwards, no byte is overwritten before it is read */
    }
    while (len > 0) {
        len--;
        out[len] = in[len];
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t len)
{
    const uint8_t *x = a, *y = b;

    for (; len > 0; len--, x++, y++) {
        if (*x != *y) {
            return *x - *y;
        }
    }
    return 0;
}

size_t strlen(const char *text)
{
    size_t len = 0;

    while (text[len] != '\0') {
        len++;
    }
    return len;
}

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
