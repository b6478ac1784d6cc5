/* How deep the stack has been. SPDX-License-Identifier: Apache-2.0 */
#ifndef STACK_H
#define STACK_H

#include <stdint.h>

/* Fills the unused stack with a pattern. Call once, from start-up. */
void stack_paint(void);

/* Bytes of stack there are. */
uint32_t stack_bytes(void);

/* The most that was ever in use, in bytes: stack_bytes() means that the lowest word, the canary,
 * is gone and the stack may have run over. */
uint32_t stack_high_water(void);

#endif
