/* Leaves for another image. SPDX-License-Identifier: Apache-2.0 */
#include "jump.h"

#include "board_config.h"

_Noreturn void jump_to(uint32_t payload)
{
    /* Code may have been copied to where it is about to run. */
    __asm volatile(".option push\n"
                   ".option arch, +zifencei\n"
                   "fence.i\n"
                   ".option pop\n"
                   "jr %0"
                   :
                   : "r"(payload + BOARD_FETCH_OFFSET)
                   : "memory");
    __builtin_unreachable();
}
