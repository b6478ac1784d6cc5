/* What all 32-bit RISC-V cores have. SPDX-License-Identifier: Apache-2.0 */
#ifndef RISCV_H
#define RISCV_H

#include <stdint.h>

/* From now on external interrupts call riscv_interrupt(), which is the chip's. */
void riscv_listen(void);
void riscv_interrupt(void);

#define RISCV_MSTATUS_MIE 8u

/* No interrupt from here to riscv_unmask(), which takes what this returned. */
static inline uint32_t riscv_mask(void)
{
    uint32_t mstatus;

    __asm__ volatile("csrrci %0, mstatus, %1"
                     : "=r"(mstatus)
                     : "i"(RISCV_MSTATUS_MIE)
                     : "memory");
    return mstatus & RISCV_MSTATUS_MIE;
}

static inline void riscv_unmask(uint32_t masked)
{
    __asm__ volatile("csrs mstatus, %0" : : "r"(masked) : "memory");
}

#endif
