/* The part of start-up that is the same on every chip. SPDX-License-Identifier: Apache-2.0 */
#ifndef START_H
#define START_H

/* Called by a core's reset code once a stack is in place: initialises RAM, then the chip, then
 * runs main(). Must be entered with the stack almost empty: what lies under the stack pointer
 * is painted for stack.h. */
_Noreturn void start_c(void);

#endif
