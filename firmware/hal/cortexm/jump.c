/* Leaves for another image. SPDX-License-Identifier: Apache-2.0 */
#include "jump.h"

#include "mmio.h"

#define SYST_CSR 0xe000e010u
#define SCB_ICSR 0xe000ed04u
#define SCB_VTOR 0xe000ed08u
#define ICSR_PENDSTCLR (1u << 25)

_Noreturn void jump_to(uint32_t payload)
{
    const uint32_t stack = mmio_read32(payload);
    const uint32_t start = mmio_read32(payload + 4);

    mmio_write32(SYST_CSR, 0);
    mmio_write32(SCB_ICSR, ICSR_PENDSTCLR);
#if __ARM_ARCH >= 7
    mmio_write32(SCB_VTOR, payload);
#endif
    __asm volatile("dsb\n isb" : : : "memory");
#if __ARM_ARCH >= 8
    __asm volatile("msr msplim, %0" : : "r"(0));
#endif
    __asm volatile("msr msp, %0\n"
                   "bx %1"
                   :
                   : "r"(stack), "r"(start)
                   : "memory");
    __builtin_unreachable();
}
