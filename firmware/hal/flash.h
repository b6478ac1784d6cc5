/* NOR flash, as every layer above sees it. SPDX-License-Identifier: Apache-2.0
 *
 * Erased bytes read 0xff. Programming clears bits, in whole program units, each unit once
 * between two erases. Addresses count from the start of the flash, not from where it may be
 * mapped. Functions return 0 or one of the errors below. */
#ifndef FLASH_H
#define FLASH_H

#include <stdint.h>

enum {
    FLASH_EIO = -1,     /* the chip reports a failure */
    FLASH_EBOUNDS = -2, /* outside of the flash, or of the area */
    FLASH_EALIGN = -3,  /* not in whole units */
    FLASH_EVERIFY = -4, /* reads back other than written, or would: a bit cannot go from 0 to 1 */
};

struct hal_flash {
    int (*read)(uint32_t address, void *bytes, uint32_t len);

    /* address and len are multiples of program_bytes; the units are erased. */
    int (*program)(uint32_t address, const void *bytes, uint32_t len);

    /* Erases the one unit of erase_bytes that starts at address. */
    int (*erase)(uint32_t address);

    uint32_t bytes;
    uint32_t erase_bytes;
    uint32_t program_bytes; /* a divisor of erase_bytes */
};

#endif
