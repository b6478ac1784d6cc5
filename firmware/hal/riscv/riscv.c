/* Fault handler of a 32-bit RISC-V core. SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"

_Noreturn void riscv_fault(uint32_t sp, uint32_t ra);

_Noreturn void riscv_fault(uint32_t sp, uint32_t ra)
{
    uint32_t mepc, mcause, mtval;

    __asm volatile("csrr %0, mepc" : "=r"(mepc));
    __asm volatile("csrr %0, mcause" : "=r"(mcause));
    __asm volatile("csrr %0, mtval" : "=r"(mtval));

    const struct fault_word words[] = {
        { "pc", mepc }, { "ra", ra }, { "sp", sp }, { "mcause", mcause }, { "mtval", mtval },
    };

    fault_report(words, sizeof words / sizeof words[0]);
}
