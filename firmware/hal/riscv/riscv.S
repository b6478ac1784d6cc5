/* Reset and trap entry of a 32-bit RISC-V core. SPDX-License-Identifier: Apache-2.0
 * The RISC-V Instruction Set Manual, volume II, version 20211203. */
    .section .vectors, "ax"
    .globl riscv_start
riscv_start:
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    la sp, link_stack_top
    la t0, riscv_trap_entry
    csrw mtvec, t0
    j start_c

/* Interrupts stay disabled until riscv_listen(), so every trap is a fault. The stack pointer may be what is wrong:
 * start afresh from the top, keeping the old one. mtvec needs an address divisible by 4. */
    .text
    .balign 4
    .globl riscv_trap_entry
riscv_trap_entry:
    mv a0, sp
    mv a1, ra
    la sp, link_stack_top
    j riscv_fault
