/* Reset and exception vectors of an Xtensa LX106. SPDX-License-Identifier: Apache-2.0
 * Xtensa Instruction Set Architecture reference manual, sections 4.4 (exceptions) and 4.4.7
 * (relocatable vectors); offsets from VECBASE as the LX106 is configured. */
    .section .vectors, "ax"
    .balign 256
    .globl xtensa_vectors
xtensa_vectors:
    j xtensa_start /* the reset vector is elsewhere; our image begins there */
    .org 0x10
    j xtensa_trap_entry /* debug */
    .org 0x20
    j xtensa_trap_entry /* NMI */
    .org 0x30
    j xtensa_trap_entry /* kernel exception */
    .org 0x50
    j xtensa_trap_entry /* user exception */
    .org 0x70
    j xtensa_trap_entry /* double exception */

    .balign 4
    .literal_position
xtensa_start:
    movi a0, xtensa_vectors
    wsr a0, vecbase
    movi a1, link_stack_top
    movi a0, 0x20 /* PS.UM: exceptions use the user vector; all interrupt levels open */
    wsr a0, ps
    rsync
    movi a0, start_c
    jx a0

/* Interrupts stay disabled, so every exception is a fault. The stack pointer may be what is
 * wrong: start afresh from the top, keeping the old one. */
    .balign 4
xtensa_trap_entry:
    mov a2, a1
    mov a3, a0
    movi a1, link_stack_top
    movi a4, xtensa_fault
    jx a4
