/* What all Cortex-M cores have: vectors, fault handler, system timer, reset.
 * SPDX-License-Identifier: Apache-2.0
 * Registers: Arm DDI 0419E (Armv6-M), DDI 0403E (Armv7-M), DDI 0553 (Armv8-M). */
#include "cortexm.h"

#include "fault.h"
#include "link.h"
#include "mmio.h"
#include "noinit.h"
#include "start.h"

#define SYST_CSR 0xe000e010u
#define SYST_RVR 0xe000e014u
#define SYST_CVR 0xe000e018u
#define SYST_MAX 0xffffffu
#define SCB_ICSR 0xe000ed04u
#define SCB_VTOR 0xe000ed08u
#define SCB_AIRCR 0xe000ed0cu
#define SCB_CFSR 0xe000ed28u
#define SCB_HFSR 0xe000ed2cu
#define SCB_BFAR 0xe000ed38u
#define SCB_CPACR 0xe000ed88u

#define AIRCR_KEY_RESET 0x05fa0004u
#define CPACR_CP10_CP11 (0xfu << 20)
#define SYST_CSR_ON 7u /* core clock, interrupt, enabled */

__attribute__((used)) _Noreturn void cortexm_fault(const uint32_t *frame,
                                                    uint32_t exc_return); /* by assembly */

static volatile uint32_t systick_rounds;

typedef void (*handler)(void);

/* Before cortexm_listen() no external interrupt is enabled, so the table stops at SysTick. */
__attribute__((section(".vectors"), used)) static const handler vectors[16] = {
    (handler)(uintptr_t)link_stack_top,
    (handler)cortexm_start,
    cortexm_nmi_handler,
    cortexm_fault_entry, /* HardFault; the configurable ones escalate to it */
    cortexm_fault_entry, cortexm_fault_entry, cortexm_fault_entry, cortexm_fault_entry,
    cortexm_fault_entry, cortexm_fault_entry, cortexm_fault_entry, cortexm_fault_entry,
    cortexm_fault_entry, cortexm_fault_entry, cortexm_fault_entry,
    cortexm_systick_handler,
};

_Noreturn void cortexm_start(void)
{
#if __ARM_ARCH >= 8
    /* A stack that runs over faults at once instead of eating the arena. */
    __asm volatile("msr msplim, %0" : : "r"(link_stack_bottom));
#endif
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    mmio_write32(SCB_CPACR, mmio_read32(SCB_CPACR) | CPACR_CP10_CP11);
    __asm volatile("dsb\n isb" : : : "memory");
#endif
#if __ARM_ARCH >= 7
    cortexm_take_vectors();
#endif
    start_c();
}

void cortexm_take_vectors(void)
{
    mmio_write32(SCB_VTOR, (uint32_t)(uintptr_t)vectors);
}

/* The stack pointer may be what is wrong: start afresh from the top, keeping the old one. */
__attribute__((naked)) void cortexm_fault_entry(void)
{
    __asm volatile("mrs r0, msp\n"
                   "mov r1, lr\n"
                   "ldr r2, =link_stack_top\n"
                   "mov sp, r2\n"
                   "ldr r2, =cortexm_fault\n"
                   "bx r2\n"
                   ".ltorg\n");
}

__attribute__((weak, alias("cortexm_fault_entry"))) void cortexm_nmi_handler(void);

static int frame_is_readable(const uint32_t *frame)
{
    return frame >= link_stack_bottom && frame + 8 <= link_stack_top &&
           ((uintptr_t)frame & 3) == 0;
}

_Noreturn void cortexm_fault(const uint32_t *frame, uint32_t exc_return)
{
    const int readable = frame_is_readable(frame);
    const struct fault_word words[] = {
        { "pc", readable ? frame[6] : 0 },
        { "lr", readable ? frame[5] : 0 },
        { "sp", (uint32_t)(uintptr_t)frame },
        { "exc", exc_return },
#if __ARM_ARCH >= 7
        { "cfsr", mmio_read32(SCB_CFSR) },
        { "hfsr", mmio_read32(SCB_HFSR) },
        { "bfar", mmio_read32(SCB_BFAR) },
#endif
        { "icsr", mmio_read32(SCB_ICSR) },
    };

    fault_report(words, sizeof words / sizeof words[0]);
}

_Noreturn void cortexm_reset(enum hal_reset_cause cause)
{
    noinit_set_cause(cause);
    __asm volatile("dsb" : : : "memory");
    mmio_write32(SCB_AIRCR, AIRCR_KEY_RESET);
    for (;;) {
    }
}

void cortexm_systick_handler(void)
{
    systick_rounds++;
}

void cortexm_systick_start(void)
{
    mmio_write32(SYST_RVR, SYST_MAX);
    mmio_write32(SYST_CVR, 0);
    mmio_write32(SYST_CSR, SYST_CSR_ON);
}

uint64_t cortexm_systick_ticks(void)
{
    uint32_t rounds, down;

    do {
        rounds = systick_rounds;
        down = mmio_read32(SYST_CVR);
    } while (rounds != systick_rounds);
    return ((uint64_t)rounds << 24) + (SYST_MAX - down);
}
