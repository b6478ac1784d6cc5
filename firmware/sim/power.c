/* Runs one scenario over and over, with the power cut at every place there is.
 * SPDX-License-Identifier: Apache-2.0
 *
 * usage: power SCENARIO ERASE_BYTES PROGRAM_BYTES COUNT SEED
 * Prints one line, "COUNT FAILURES", when at least COUNT cuts were made. */
#include "power.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flash_sim.h"

#define RESTARTS 3 /* after every cut: what was read once must be read again */

static const struct power_scenario *const scenarios[] = {
    &power_counter, &power_kv,      &power_boot[0], &power_boot[1],
    &power_boot[2], &power_boot[3], &power_boot[4], &power_boot[5],
    &power_boot[6],  &power_boot[7],  &power_boot[8], &power_boot[9], &power_boot[10],
    &power_boot[11],
};

static uint64_t state;
static uint64_t cuts;
static uint64_t failures;

/* splitmix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014. */
uint32_t power_random(uint32_t below)
{
    uint64_t z = (state += 0x9e3779b97f4a7c15ull);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (uint32_t)((z ^ (z >> 31)) % below);
}

struct checking {
    const struct power_scenario *scenario;
    int again;
    int result;
};

static void check(void *context)
{
    struct checking *c = context;

    c->result = c->scenario->check(c->again);
}

static void check_after_cut(const struct power_scenario *scenario, uint32_t operation,
                            uint32_t place)
{
    for (int again = 0; again < RESTARTS; again++) {
        struct checking c = { scenario, again, 0 };

        /* Now and then the power goes again while the first cut is being mended. */
        if (power_random(4) == 0
            && flash_sim_run(power_random(6), power_random(40), check, &c) == FLASH_SIM_CUT) {
            cuts++;
        }
        flash_sim_run(FLASH_SIM_NO_CUT, 0, check, &c);
        if (c.result) {
            fprintf(stderr, "%s: cut in operation %u at place %u, restart %d\n", scenario->name,
                    (unsigned)operation, (unsigned)place, again);
            failures++;
            return;
        }
    }
}

static void run_whole(const struct power_scenario *scenario)
{
    flash_sim_restore();
    if (flash_sim_run(FLASH_SIM_NO_CUT, 0, scenario->act, 0) != FLASH_SIM_DONE) {
        failures++;
    }
}

/* One round, cut at each place of each of its operations, then whole; where it has more than
 * twice the `wanted` places, at about that many of them. */
static void round_of(const struct power_scenario *scenario, uint64_t wanted)
{
    uint64_t total = 0;

    scenario->draw();
    flash_sim_save();
    run_whole(scenario);
    const uint32_t operations = flash_sim_operations();
    uint32_t *const places = calloc(operations + 1, sizeof *places);

    for (uint32_t operation = 0; places && operation < operations; operation++) {
        places[operation] = flash_sim_places(operation);
        total += places[operation];
    }
    const uint32_t one_in = (uint32_t)(total / (wanted + 1)) > 1
                                ? (uint32_t)(total / (wanted + 1)) : 1;

    for (uint32_t operation = 0; places && operation < operations; operation++) {
        for (uint32_t place = 0; place < places[operation]; place++) {
            if (one_in > 1 && power_random(one_in) != 0) {
                continue;
            }
            flash_sim_restore();
            if (flash_sim_run(operation, place, scenario->act, 0) == FLASH_SIM_CUT) {
                cuts++;
                check_after_cut(scenario, operation, place);
            }
        }
    }
    free(places);
    run_whole(scenario);
    if (scenario->check_done()) {
        fprintf(stderr, "%s: without a cut\n", scenario->name);
        failures++;
    }
}

int main(int argc, char **argv)
{
    const struct power_scenario *scenario = 0;

    for (size_t i = 0; argc == 6 && i < sizeof scenarios / sizeof *scenarios; i++) {
        scenario = strcmp(argv[1], scenarios[i]->name) == 0 ? scenarios[i] : scenario;
    }
    if (!scenario) {
        fprintf(stderr, "usage: power SCENARIO ERASE_BYTES PROGRAM_BYTES COUNT SEED\n");
        return 2;
    }
    const uint32_t erase_bytes = (uint32_t)strtoul(argv[2], 0, 0);
    const uint64_t count = strtoull(argv[4], 0, 0);

    state = strtoull(argv[5], 0, 0);
    flash_sim_seed(state);
    flash_sim_configure(scenario->sectors * erase_bytes, erase_bytes,
                        (uint32_t)strtoul(argv[3], 0, 0));
    scenario->prepare();
    while (cuts < count && failures == 0) {
        round_of(scenario, count - cuts);
    }
    printf("%llu %llu\n", (unsigned long long)cuts, (unsigned long long)failures);
    return failures != 0;
}
