/* Parallel NOR flash with Intel's command set, memory-mapped. SPDX-License-Identifier: Apache-2.0
 *
 * While the chip works on a command it answers reads with its status, so code that lies in the
 * same chip cannot run: all that happens then is in section .ramfunc, and a chip whose interrupt
 * handlers lie in the flash masks them around each of these. */
#ifndef CFI_H
#define CFI_H

#include <stdint.h>

struct cfi {
    uint32_t base;   /* where the flash is mapped */
    uint32_t width;  /* bytes of the bus, 2 or 4; of 4, two chips take one half each */
};

/* Programs whole bus words at offset; len > 0. What is there must be erased. */
int cfi_program(struct cfi cfi, uint32_t offset, const void *bytes, uint32_t len);

/* Erases the block that starts at offset. */
int cfi_erase(struct cfi cfi, uint32_t offset);

#endif
