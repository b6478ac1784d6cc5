/* Fault handler of an Xtensa LX106. SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"

_Noreturn void xtensa_fault(uint32_t sp, uint32_t ra);

_Noreturn void xtensa_fault(uint32_t sp, uint32_t ra)
{
    uint32_t epc, cause, address;

    __asm volatile("rsr %0, epc1" : "=r"(epc));
    __asm volatile("rsr %0, exccause" : "=r"(cause));
    __asm volatile("rsr %0, excvaddr" : "=r"(address));

    const struct fault_word words[] = {
        { "pc", epc }, { "ra", ra }, { "sp", sp }, { "exccause", cause }, { "excvaddr", address },
    };

    fault_report(words, sizeof words / sizeof words[0]);
}
