/* Power cut at every place of every flash operation of a scenario. SPDX-License-Identifier: Apache-2.0 */
#ifndef POWER_H
#define POWER_H

#include <stdint.h>

/* One thing that firmware does to the flash, and what must hold when the power goes. All share
 * static state in their own file. */
struct power_scenario {
    const char *name;

    /* Brings a blank flash into the state from which rounds start. Never cut. */
    void (*prepare)(void);

    /* Draws what the next round does. Never cut. */
    void (*draw)(void);

    /* Does it, from a restart on: cut here. */
    void (*act)(void *unused);

    /* After a cut, from a restart on: returns 0 if all that must hold does, else says what not
     * on stderr. `again` counts the restarts since the cut. May itself be cut once (the second
     * cut in a row) and is then called again with `again` as it was. */
    int (*check)(int again);

    /* After `act` ran whole. */
    int (*check_done)(void);

    uint32_t sectors; /* of flash that it needs */
};

extern const struct power_scenario power_counter;
extern const struct power_scenario power_kv;

#define POWER_BOOT_COUNT 12
extern const struct power_scenario power_boot[POWER_BOOT_COUNT];

/* Numbers from one seed, for every draw. */
uint32_t power_random(uint32_t below);

#endif
