/* A ring of records in flash, the newest kept. SPDX-License-Identifier: Apache-2.0
 *
 * Two or more sectors (erase units). A sector opens with a header that says which record is its
 * first; records follow, each with its length and CRC-32. What does not fit goes into the next
 * sector, which is erased first: so the oldest go, a sector of them at a time. Records have
 * numbers, from 1, without gaps but for those that a power cut took: at most the one being written.
 *
 * firmware/SPEC.md has the layout byte by byte. */
#ifndef NV_LOG_H
#define NV_LOG_H

#include <stdint.h>

#include "nv_area.h"

enum {
    NV_LOG_EGEOMETRY = -35, /* the area is no ring of two sectors or more */
    NV_LOG_ELONG = -36,     /* the record is longer than a sector has room for */
};

struct nv_log {
    struct nv_area area;

    /* The rest is the module's own. */
    uint32_t sequence; /* sectors opened so far; 0: none */
    uint32_t end;      /* of the open sector: an offset in it, where the next record goes */
    uint32_t next;     /* the next record's number */
};

/* Finds the end of the log. An area that holds none is an empty log. */
int nv_log_mount(struct nv_log *log);

/* The longest record there may be. */
uint32_t nv_log_max_bytes(const struct nv_log *log);

/* Puts a record at the end. On an error it is not there. */
int nv_log_append(struct nv_log *log, const void *record, uint32_t len);

/* A record where it lies. */
struct nv_log_record {
    uint32_t number;
    uint32_t offset; /* of its bytes, in the area */
    uint32_t len;
};

/* The first record with a number above `after`. Returns 1, 0 if there is none, or an error. */
int nv_log_find(const struct nv_log *log, uint32_t after, struct nv_log_record *record);

#endif
