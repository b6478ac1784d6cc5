/* Statistics of the capsule in service. SPDX-License-Identifier: Apache-2.0 */
#ifndef OBSERVING_H
#define OBSERVING_H

#include <stdint.h>

#include "capsule.h"

/* What is watched, in service for as long as this runs. */
struct observed {
    const struct capsule *capsule;
    const uint8_t *input;       /* the first of an inference */
    const uint8_t *output;      /* the first, too */
    const uint32_t *inferences; /* that were done */
    const uint32_t *refused;
};

/* Begins, and serves what the owner allows; call it once the capsule's meter is open. */
void observing_start(const struct observed *observed);

/* Around every inference, the inputs being in place; the second with the ticks it took. */
void observing_before(void);
void observing_after(uint64_t ticks);

#endif
