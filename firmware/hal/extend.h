/* A 32-bit counter made 64 bits wide by software. SPDX-License-Identifier: Apache-2.0 */
#ifndef EXTEND_H
#define EXTEND_H

#include <stdint.h>

struct extend {
    uint32_t high;
    uint32_t last;
};

/* `now` is the counter; calls must be less than one round of it (2^32 ticks) apart. */
static inline uint64_t extend_ticks(struct extend *e, uint32_t now)
{
    if (now < e->last) {
        e->high++;
    }
    e->last = now;
    return ((uint64_t)e->high << 32) | now;
}

#endif
