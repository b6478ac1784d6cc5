/* The key-value store under power cuts: all old or all new, and the same at every look.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flash_sim.h"
#include "nv_kv.h"
#include "power.h"

#define SECTORS 8 /* small erase units need several for a bank */
#define KEYS 4
#define MAX_LEN 24

struct values {
    uint32_t len[KEYS]; /* NV_KV_ABSENT: not there */
    uint8_t bytes[KEYS][MAX_LEN];
};

static struct values old, new;
static uint16_t key;
static int seen_new;

static struct nv_kv mounted(void)
{
    struct nv_kv kv = { .area = { &flash_sim, 0, SECTORS * flash_sim.erase_bytes } };
    const int err = nv_kv_mount(&kv);

    if (err) {
        fprintf(stderr, "kv: mount: %d\n", err);
        exit(1);
    }
    return kv;
}

static void prepare(void)
{
    for (int i = 0; i < KEYS; i++) {
        old.len[i] = NV_KV_ABSENT;
    }
}

static void draw(void)
{
    new = old;
    key = (uint16_t)power_random(KEYS);
    new.len[key] = power_random(4) == 0 ? NV_KV_ABSENT : power_random(MAX_LEN + 1);
    for (int i = 0; i < MAX_LEN; i++) {
        new.bytes[key][i] = (uint8_t)power_random(256);
    }
}

static void act(void *unused)
{
    struct nv_kv kv = mounted();
    const int err = new.len[key] == NV_KV_ABSENT
                        ? nv_kv_remove(&kv, key)
                        : nv_kv_set(&kv, key, new.bytes[key], new.len[key]);

    (void)unused;
    if (err) {
        fprintf(stderr, "kv: change: %d\n", err);
        exit(1);
    }
}

static int holds(const struct values *values)
{
    const struct nv_kv kv = mounted();

    for (uint16_t i = 0; i < KEYS; i++) {
        uint8_t bytes[MAX_LEN];
        uint32_t len;

        if (nv_kv_get(&kv, i, bytes, sizeof bytes, &len) || len != values->len[i]
            || (len != NV_KV_ABSENT && memcmp(bytes, values->bytes[i], len) != 0)) {
            return 0;
        }
    }
    return 1;
}

static int check(int again)
{
    const int is_new = holds(&new);

    if (!is_new && !holds(&old)) {
        fprintf(stderr, "kv: neither old nor new\n");
        return -1;
    }
    if (again > 0 && is_new != seen_new && memcmp(&old, &new, sizeof old) != 0) {
        fprintf(stderr, "kv: read otherwise before\n");
        return -1;
    }
    seen_new = is_new;
    return 0;
}

static int check_done(void)
{
    old = new;
    return holds(&new) ? 0 : -1;
}

const struct power_scenario power_kv = {
    "kv", prepare, draw, act, check, check_done, SECTORS,
};
