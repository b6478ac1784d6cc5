/* The first 256 bytes of RP2040's flash: the ROM copies them to RAM and runs them there, to make
 * the rest of the flash readable at 0x10000000. SPDX-License-Identifier: Apache-2.0
 * Registers: RP2040 data sheet 2.8.1 (boot sequence), 4.10.13 (SSI).
 *
 * Plain serial reads (command 03h, one line), which every flash chip has, at a quarter of the
 * system clock: 31.25 MHz, of the 50 MHz that a W25Q16JV allows for it (its data sheet, 9.6). Entered
 * by the ROM with lr = 0, it goes on to the vectors behind it; called by firmware that has
 * programmed the flash, it returns. */
    .syntax unified
    .cpu cortex-m0plus
    .thumb

    .equ SSI, 0x18000000
    .equ SSI_CTRLR0, 0x00
    .equ SSI_CTRLR1, 0x04
    .equ SSI_SSIENR, 0x08
    .equ SSI_BAUDR, 0x14
    .equ SSI_SPI_CTRLR0, 0xf4
    .equ DIVIDER, 4                       /* of the system clock; even */
    .equ FRAMES_32_READ, 31 << 16 | 3 << 8 /* command and address out, then 32 bits in */
    .equ READ_03H, 0x03 << 24 | 2 << 8 | 6 << 2 /* 8 bits of command, 24 of address, one line */
    .equ VECTORS, 0x10000100
    .equ SCB_VTOR, 0xe000ed08

    .section .boot2, "ax", %progbits
    .thumb_func
boot2:
    push {lr}
    ldr r3, =SSI
    movs r0, #0
    str r0, [r3, #SSI_SSIENR]             /* the others can only be written while it is off */
    movs r1, #DIVIDER
    str r1, [r3, #SSI_BAUDR]
    ldr r1, =FRAMES_32_READ
    str r1, [r3, #SSI_CTRLR0]
    str r0, [r3, #SSI_CTRLR1]
    movs r2, #SSI_SPI_CTRLR0
    ldr r1, =READ_03H
    str r1, [r3, r2]
    movs r1, #1
    str r1, [r3, #SSI_SSIENR]
    pop {r0}
    cmp r0, #0
    beq 1f
    bx r0
1:
    ldr r0, =VECTORS
    ldr r1, =SCB_VTOR
    str r0, [r1]
    ldr r1, [r0, #4]
    ldr r0, [r0]
    msr msp, r0
    bx r1
    .ltorg
    .org 252
    /* Of what is above: CRC-32, polynomial 0x04c11db7, from 0xffffffff, high bit first, not
     * inverted (data sheet 2.8.1.3.1). The ROM looks; tests/test_rp2040.py says what it must be. */
    .word 0xe6b00789
