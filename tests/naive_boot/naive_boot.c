/* A verifier as one would write it without thinking of glitches: what the fault campaign must be
 * able to bring down. SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

#define SLOT 0x8000u
#define SLOT_BYTES 64u

extern uint32_t stack_top;

void rest(void);
void reset(void);

__attribute__((section(".vectors"), used)) static const void *const vectors[2] = {
    &stack_top, (const void *)reset,
};

__attribute__((noinline)) void rest(void)
{
    for (;;) {
    }
}

__attribute__((noinline)) static uint32_t checksum(const volatile uint8_t *bytes, uint32_t len)
{
    uint32_t sum = 2166136261u;

    while (len-- > 0) {
        sum = (sum ^ *bytes++) * 16777619u;
    }
    return sum;
}

__attribute__((noinline)) static int is_valid(void)
{
    return checksum((const volatile uint8_t *)SLOT, SLOT_BYTES)
           == *(const volatile uint32_t *)(SLOT + SLOT_BYTES);
}

void reset(void)
{
    if (is_valid()) {
        ((void (*)(void))(SLOT + 1))();
    }
    rest();
}
