/* Bytes in order into the slot that an update goes to. SPDX-License-Identifier: Apache-2.0
 *
 * The caller alternates: slot_writer_put() until it takes no more, slot_writer_work() until it has
 * nothing to do. A call of slot_writer_work() does one flash operation at most, so that others are
 * served between two of them. Whatever the slot held is not erased at once: first its trailer, so
 * that no old request speaks for a new image; then each erase unit just before the first byte goes
 * there; behind the last byte, what is not erased. A cut at any place leaves no image that is whole
 * but the whole new one.
 */
#ifndef SLOT_WRITER_H
#define SLOT_WRITER_H

#include <stdint.h>

#include "nv_area.h"
#include "sha256.h"

#define SLOT_WRITER_PIECE 256u /* programmed together, or an erase unit if that is less */

struct slot_writer {
    struct nv_area area;
    uint32_t room;      /* for an image: the area but its trailer */
    uint32_t written;   /* bytes programmed */
    uint32_t erased;    /* the units before it are erased or written */
    uint32_t held;      /* bytes in `bytes`, not programmed yet */
    uint32_t trailer;   /* the units from it on are known to read erased */
    uint32_t piece;     /* programmed together */
    uint32_t is_ended;
    struct sha256 hash; /* of what is programmed */
    uint8_t bytes[SLOT_WRITER_PIECE];
};

/* Nothing is written yet. FLASH_EALIGN or FLASH_EBOUNDS: no such slot on that flash. */
int slot_writer_open(struct slot_writer *writer, const struct nv_area *area);

/* Takes as many of `len` bytes as there is place for, and returns how many. The caller sees to
 * it that they are `room` in all at most. */
uint32_t slot_writer_put(struct slot_writer *writer, const uint8_t *bytes, uint32_t len);

/* 1: takes no more before slot_writer_work() was called. */
int slot_writer_is_full(const struct slot_writer *writer);

/* No more bytes will come. */
void slot_writer_end(struct slot_writer *writer);

/* 1: a step was done, call again; 0: nothing to do; else an error of flash.h. */
int slot_writer_work(struct slot_writer *writer);

/* SHA-256 of the bytes, each as read back from the flash. Once, when an ended slot has nothing
 * to do any more. */
void slot_writer_digest(struct slot_writer *writer, uint8_t digest[SHA256_BYTES]);

#endif
