/* Leaves for another image. SPDX-License-Identifier: Apache-2.0 */
#include "jump.h"

_Noreturn void jump_to(uint32_t payload)
{
    __asm volatile("isync\n"
                   "jx %0"
                   :
                   : "r"(payload)
                   : "memory");
    __builtin_unreachable();
}
