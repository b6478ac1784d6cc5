/* How deep the stack has been. SPDX-License-Identifier: Apache-2.0 */
#include "stack.h"

#include "link.h"

#define PATTERN 0x5ac35ac3u
#define OWN_FRAME_WORDS 16 /* stack_paint() must not paint over its own frame */

void stack_paint(void)
{
    uint32_t *const here = (uint32_t *)__builtin_frame_address(0) - OWN_FRAME_WORDS;

    for (volatile uint32_t *word = link_stack_bottom; word < here; word++) {
        *word = PATTERN;
    }
}

uint32_t stack_bytes(void)
{
    return (uint32_t)((uintptr_t)link_stack_top - (uintptr_t)link_stack_bottom);
}

uint32_t stack_high_water(void)
{
    const volatile uint32_t *word = link_stack_bottom;

    while (word < link_stack_top && *word == PATTERN) {
        word++;
    }
    return (uint32_t)((uintptr_t)link_stack_top - (uintptr_t)word);
}
