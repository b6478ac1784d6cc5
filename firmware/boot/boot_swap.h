/* Exchanges what two slots hold, cut by cut. SPDX-License-Identifier: Apache-2.0
 *
 * All of slot 0 moves up by one erase unit, into its trailer; then, from the first unit on, slot
 * 1's goes to slot 0 and the old one to slot 1. Every step copies one unit, reads it back and
 * leaves its source alone until the next step, so a step can be done again; the state register
 * says which is the next. */
#ifndef BOOT_SWAP_H
#define BOOT_SWAP_H

#include <stdint.h>

#include "boot_state.h"
#include "boot_status.h"

struct boot_config;

struct boot_swap {
    /* Steps of the images in `mask`, or 0 if there are too many for the register. */
    uint32_t (*steps)(const struct boot_config *config, uint32_t mask);

    /* Goes on from state->step to the end, and then writes no state: `state` is as at the last
     * step. Encrypted images that are not on their way back are decrypted. */
    enum boot_status (*run)(const struct boot_config *config, struct nv_counter *counter,
                            struct boot_state *state);
};

/* Linked only where a board's configuration names it. */
extern const struct boot_swap boot_swap_slots;

#endif
