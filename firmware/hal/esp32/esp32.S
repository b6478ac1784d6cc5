/* Reset and exception vectors of an ESP32's processor 0. SPDX-License-Identifier: Apache-2.0
 * Xtensa Instruction Set Architecture reference manual, sections 4.4 (exceptions) and 4.4.7
 * (relocatable vectors); offsets from VECBASE: ESP32's core-isa.h, XCHAL_*_VECOFS. Registers are
 * not windowed here: WOE stays 0, and the vectors of the window are unused. */
    .section .vectors, "ax"
    .globl xtensa_vectors
xtensa_vectors: /* where ROM and bootloader enter */
    j esp32_start

    .balign 4
    .literal_position
esp32_start:
    movi a0, 0
    wsr a0, intenable
    movi a0, 0x20 /* PS.UM: exceptions use the user vector */
    wsr a0, ps
    rsync
    movi a1, link_stack_top
    movi a0, start_c
    jx a0

    .section .ramfunc, "ax"
    .balign 1024
    .globl esp32_vectors
esp32_vectors:
    .org 0x300
    j esp32_trap_entry /* kernel exception */
    .org 0x340
    j esp32_trap_entry /* user exception */
    .org 0x3c0
    j esp32_trap_entry /* double exception */

/* Interrupts stay disabled, so every exception is a fault. The stack pointer may be what is
 * wrong: start afresh from the top, keeping the old one. */
    .balign 4
    .literal_position
esp32_trap_entry:
    mov a2, a1
    mov a3, a0
    movi a1, link_stack_top
    movi a4, xtensa_fault
    jx a4
