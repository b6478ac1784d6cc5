/* External interrupts of a 32-bit RISC-V core. SPDX-License-Identifier: Apache-2.0
 * In sections of their own: an image that never listens has none of this.
 * The RISC-V Instruction Set Manual, volume II, version 20211203. */
    .section .text.riscv_listen, "ax"
    .globl riscv_listen
riscv_listen:
    la t0, riscv_interrupt_entry
    csrw mtvec, t0
    li t0, 0x800 /* mie.MEIE */
    csrs mie, t0
    csrsi mstatus, 8 /* MIE */
    ret

/* Keeps what a C function may change. mtvec needs an address divisible by 4. */
    .section .text.riscv_interrupt_entry, "ax"
    .balign 4
riscv_interrupt_entry:
    addi sp, sp, -64
    sw t0, 0(sp)
    csrr t0, mcause
    bgez t0, 1f
    sw ra, 4(sp)
    sw t1, 8(sp)
    sw t2, 12(sp)
    sw a0, 16(sp)
    sw a1, 20(sp)
    sw a2, 24(sp)
    sw a3, 28(sp)
    sw a4, 32(sp)
    sw a5, 36(sp)
    sw a6, 40(sp)
    sw a7, 44(sp)
    sw t3, 48(sp)
    sw t4, 52(sp)
    sw t5, 56(sp)
    sw t6, 60(sp)
    call riscv_interrupt
    lw t0, 0(sp)
    lw ra, 4(sp)
    lw t1, 8(sp)
    lw t2, 12(sp)
    lw a0, 16(sp)
    lw a1, 20(sp)
    lw a2, 24(sp)
    lw a3, 28(sp)
    lw a4, 32(sp)
    lw a5, 36(sp)
    lw a6, 40(sp)
    lw a7, 44(sp)
    lw t3, 48(sp)
    lw t4, 52(sp)
    lw t5, 56(sp)
    lw t6, 60(sp)
    addi sp, sp, 64
    mret
1:  /* a fault */
    lw t0, 0(sp)
    addi sp, sp, 64
    j riscv_trap_entry
