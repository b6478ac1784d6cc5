/* A few named values in flash, changed rarely and never half. SPDX-License-Identifier: Apache-2.0
 *
 * Two banks of whole sectors. A change writes all values into the bank not in use, then the
 * header that makes it count, twice: the second header proves the first whole. After a power cut
 * all values are the old ones or all are the new ones. One change costs one erase of a bank.
 *
 * firmware/SPEC.md has the layout byte by byte. */
#ifndef NV_KV_H
#define NV_KV_H

#include <stdint.h>

#include "nv_area.h"

enum {
    NV_KV_EFULL = -30,     /* the values and this one do not fit in a bank */
    NV_KV_EGEOMETRY = -31, /* the area is no pair of banks */
    NV_KV_ERANGE = -32,    /* the key or a length is out of range, or the value longer than asked */
};

#define NV_KV_MAX_VALUE_BYTES 0xfffeu

struct nv_kv {
    struct nv_area area; /* an even number of sectors, filled in by the caller */

    /* The rest is the module's own. */
    uint32_t sequence; /* 0: nothing was ever stored */
    uint32_t bank;     /* 0 or 1: the one in use */
    uint32_t bytes;    /* of its records */
};

/* Finds the bank in use; an area without one is an empty store. Settles what a cut left open, so
 * that later reads agree with this one. */
int nv_kv_mount(struct nv_kv *kv);

/* Copies the value of `key` and sets *len to its length, at most `cap`. A key that is not there
 * is an answer: *len = NV_KV_ABSENT. */
#define NV_KV_ABSENT UINT32_MAX
int nv_kv_get(const struct nv_kv *kv, uint16_t key, void *value, uint32_t cap, uint32_t *len);

/* Sets `key`, which is below 0xffff. On an error the store is as it was or, when the flash failed
 * at the very end, as asked. */
int nv_kv_set(struct nv_kv *kv, uint16_t key, const void *value, uint32_t len);

/* Takes `key` out; fine if it is not there. */
int nv_kv_remove(struct nv_kv *kv, uint16_t key);

#endif
