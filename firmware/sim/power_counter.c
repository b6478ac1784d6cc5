/* The counter under power cuts: n or n + 1, and the same at every look.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "flash_sim.h"
#include "nv_counter.h"
#include "power.h"

#define SECTORS 2

static uint32_t value;
static uint32_t by;
static uint32_t seen;

static struct nv_counter mounted(void)
{
    struct nv_counter counter = {
        .area = { &flash_sim, 0, SECTORS * flash_sim.erase_bytes },
        .endurance_cycles = UINT32_MAX / SECTORS,
    };
    const int err = nv_counter_mount(&counter);

    if (err) {
        fprintf(stderr, "counter: mount: %d\n", err);
        exit(1);
    }
    return counter;
}

static void prepare(void)
{
    struct nv_counter counter = {
        .area = { &flash_sim, 0, SECTORS * flash_sim.erase_bytes },
        .endurance_cycles = UINT32_MAX / SECTORS,
    };

    value = power_random(1000);
    if (nv_counter_format(&counter, value)) {
        fprintf(stderr, "counter: format\n");
        exit(1);
    }
}

static void draw(void)
{
    by = power_random(8) == 0 ? 1 + power_random(100000) : 1;
    if (value > UINT32_MAX / 2) {
        flash_sim_erase_all();
        prepare();
    }
}

static void act(void *unused)
{
    struct nv_counter counter = mounted();

    (void)unused;
    if (nv_counter_advance(&counter, by)) {
        fprintf(stderr, "counter: advance\n");
        exit(1);
    }
}

static int check(int again)
{
    const struct nv_counter counter = mounted();
    const uint32_t now = nv_counter_value(&counter);

    if (now != value && now != value + by) {
        fprintf(stderr, "counter: %u is neither %u nor %u\n", (unsigned)now, (unsigned)value,
                (unsigned)(value + by));
        return -1;
    }
    if (again > 0 && now != seen) {
        fprintf(stderr, "counter: %u was read as %u before\n", (unsigned)now, (unsigned)seen);
        return -1;
    }
    seen = now;
    return 0;
}

static int check_done(void)
{
    const struct nv_counter counter = mounted();

    value += by;
    return nv_counter_value(&counter) == value ? 0 : -1;
}

const struct power_scenario power_counter = {
    "counter", prepare, draw, act, check, check_done, SECTORS,
};
