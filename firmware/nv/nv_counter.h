/* A counter in flash that only goes up. SPDX-License-Identifier: Apache-2.0
 *
 * The area is a ring of two or more sectors (erase units). A sector opens with a header
 * (sequence, base) and goes on with words, one a commit: the value is the base plus the last
 * valid word. A word and its complement share one program unit, so a unit that a power cut left
 * half written never passes for another value. A full sector makes room by opening the next one
 * of the ring; until that holds a valid word, the old one counts.
 *
 * After a cut the counter reads n or n + 1. A torn cell may read differently each time, so
 * mounting settles what it read: it writes the value once more, past the unit a cut may have
 * touched, and from then on no read gives less. A mount uses two words.
 *
 * firmware/SPEC.md has the layout byte by byte. */
#ifndef NV_COUNTER_H
#define NV_COUNTER_H

#include <stdint.h>

#include "nv_area.h"

enum {
    NV_COUNTER_EBLANK = -20,     /* the area holds no counter: format it, once, at provisioning */
    NV_COUNTER_EEXHAUSTED = -21, /* worn out, or 2^32 - 1 reached; the value can still be read */
    NV_COUNTER_EGEOMETRY = -22,  /* the area is no ring of two sectors or more */
};

struct nv_counter {
    struct nv_area area;
    uint32_t endurance_cycles; /* erases that the chip's maker guarantees for one sector */

    /* The rest is the module's own. */
    uint32_t value;
    uint32_t base;
    uint32_t sequence; /* sectors opened so far: erases done = sequence / sectors */
    uint32_t sector;   /* the open one */
    uint32_t next;     /* its first word that is surely erased */
};

/* Finds and settles the counter. The caller has filled in area and endurance_cycles. A worn-out
 * counter mounts, unsettled, with NV_COUNTER_EEXHAUSTED, and nv_counter_value() is right. */
int nv_counter_mount(struct nv_counter *counter);

/* Starts a counter at `value` in an area that holds none, and mounts it. A counter that is there
 * is never overwritten: FLASH_EVERIFY. */
int nv_counter_format(struct nv_counter *counter, uint32_t value);

uint32_t nv_counter_value(const struct nv_counter *counter);

/* Adds `by`, at least 1. 0 means that the new value is in flash and was read back. On an error
 * the value is the old one or, after a failing read, may be the new one: mount again. */
int nv_counter_advance(struct nv_counter *counter, uint32_t by);

/* How many commits are left before wear or the 32 bits end it, if it were never mounted again;
 * each mount takes two. Ask before anything that cannot be undone. */
uint32_t nv_counter_headroom(const struct nv_counter *counter);

#endif
