/* What the compiler and we call of C library and compiler library, as short as it gets: the
 * toolchain's is made for speed, and takes five times the room. On `host`, for all images.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <string.h>

/* The compiler must not take these loops for the functions they are. */
#pragma GCC optimize("no-tree-loop-distribute-patterns")

#define WORD_BYTES sizeof(uint32_t)

/* Whole words where both ends allow. */
void *memcpy(void *restrict to, const void *restrict from, size_t len)
{
    uint8_t *t = to;
    const uint8_t *f = from;

    if ((((uintptr_t)t | (uintptr_t)f) & (WORD_BYTES - 1)) == 0) {
        for (; len >= WORD_BYTES; len -= WORD_BYTES) {
            *(uint32_t *)(void *)t = *(const uint32_t *)(const void *)f;
            t += WORD_BYTES;
            f += WORD_BYTES;
        }
    }
    while (len-- > 0) {
        *t++ = *f++;
    }
    return to;
}

void *memmove(void *to, const void *from, size_t len)
{
    uint8_t *t = to;
    const uint8_t *f = from;

    if ((uintptr_t)t - (uintptr_t)f >= len) {
        return memcpy(to, from, len);
    }
    while (len-- > 0) {
        t[len] = f[len];
    }
    return to;
}

void *memset(void *to, int value, size_t len)
{
    uint8_t *t = to;

    while (len-- > 0) {
        *t++ = (uint8_t)value;
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t len)
{
    const uint8_t *p = a;
    const uint8_t *q = b;

    for (; len > 0; len--, p++, q++) {
        if (*p != *q) {
            return *p - *q;
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

#if defined(__ARM_ARCH_6M__)
/* The core has no division. Quotient and remainder, in r0 and r1 (Arm IHI 0043, 5.2.1). */
uint64_t __aeabi_uidivmod(uint32_t n, uint32_t d);
uint32_t __aeabi_uidiv(uint32_t n, uint32_t d);

uint64_t __aeabi_uidivmod(uint32_t n, uint32_t d)
{
    uint32_t rest = 0;

    /* n gives its bits from the top and takes the quotient's from below. */
    for (unsigned i = 0; i < 32; i++) {
        const uint32_t top = rest >> 31;

        rest = rest << 1 | n >> 31;
        n <<= 1;
        if (top || rest >= d) {
            rest -= d;
            n |= 1;
        }
    }
    return (uint64_t)rest << 32 | n;
}

uint32_t __aeabi_uidiv(uint32_t n, uint32_t d)
{
    return (uint32_t)__aeabi_uidivmod(n, d);
}
#endif
