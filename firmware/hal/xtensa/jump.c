/* Leaves for another image. SPDX-License-Identifier: Apache-2.0 */
#include "jump.h"

#include "board_config.h"

_Noreturn void jump_to(uint32_t payload)
{
    __asm volatile("isync\n"
                   "jx %0"
                   :
                   : "r"(payload + BOARD_FETCH_OFFSET)
                   : "memory");
    __builtin_unreachable();
}
