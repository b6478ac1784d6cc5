/* What all 32-bit RISC-V cores have. SPDX-License-Identifier: Apache-2.0 */
#ifndef RISCV_H
#define RISCV_H

/* From now on external interrupts call riscv_interrupt(), which is the chip's. */
void riscv_listen(void);
void riscv_interrupt(void);

#endif
