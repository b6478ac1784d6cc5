/* Entry of an image on the build machine's own processor. SPDX-License-Identifier: Apache-2.0
 * System V ABI, AMD64 supplement: the stack is divisible by 16 before a call. */
#ifndef __x86_64__
#error "the board `host` runs on x86-64 only; take a QEMU board"
#endif
    .section .vectors, "ax"
    .globl native_start
native_start:
    movl $link_stack_top, %esp
    xorl %ebp, %ebp
    call start_c

    .section .note.GNU-stack, "", @progbits
