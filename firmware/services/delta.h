/* Patches: a new image made of the one that runs, in the slot beside it.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A patch comes in pieces and is hostile throughout. Whatever it holds: nothing is read outside
 * of the old image, nothing is written outside of the update slot, every byte of the patch makes
 * at most some thousand bytes and then the next one is waited for, and only what has the hash
 * that the header promised is said to be done. Whether it may boot is then asked of the image
 * itself (boot_image.h), as for any other upload: a patch proves nothing.
 *
 * There is no state in flash. After a power cut the patch is sent again from its start; the slot
 * it goes to holds nothing that boots until then. */
#ifndef DELTA_H
#define DELTA_H

#include <stdint.h>

#include "nv_area.h"
#include "slot_writer.h"

#define DELTA_MAGIC 0x50445354u /* "TSDP", little endian */
#define DELTA_HEADER_BYTES 96u
#define DELTA_LINE_BYTES 32u
#define DELTA_TREE_BYTES 384u /* 256 probabilities of 12 bits */
#define DELTA_HISTORY 32u /* contexts: which of the last five differences were none */

enum {
    DELTA_HUNGRY = 1, /* all bytes were used; more are wanted */
    DELTA_BUSY = 2,   /* call again, with what was not used */
    DELTA_DONE = 3,   /* the new image is there, and is the one promised */
};

/* Negative, apart from those of flash.h. */
enum {
    DELTA_EFORMAT = -16, /* no patch, or of another format */
    DELTA_EOLD = -17,    /* made from another image than the one here */
    DELTA_EROOM = -18,   /* the new image does not fit the slot */
    DELTA_ESTREAM = -19, /* the patch leaves an image, or has bytes that mean nothing */
    DELTA_ESHORT = -20,  /* the patch ended before the image was whole */
    DELTA_EHASH = -21,   /* what came out is not what was promised */
};

struct delta_header {
    uint8_t image; /* 0 application, 1 capsule */
    uint32_t old_bytes;
    uint32_t new_bytes;
    uint32_t old_base; /* addresses that the two are linked for, and how many bytes from there */
    uint32_t new_base; /* on addresses are moved along */
    uint32_t span;
    uint32_t stream_bytes;
    uint8_t old_hash[32]; /* the old image's SHA-256 TLV */
    uint8_t new_hash[32]; /* SHA-256 of all bytes of the new one, TLVs included */
};

struct delta {
    struct delta_header header;
    struct nv_area old;
    struct slot_writer writer;
    int end;             /* DELTA_DONE or the first error: it stays; 0: not yet */
    uint32_t taken;      /* bytes of the stream so far */
    uint32_t made;       /* bytes of the new image so far */
    uint32_t from;       /* of the old image, where the next difference is added */
    uint32_t run;        /* bytes left of this run of differences or new bytes */
    uint32_t number;     /* being read */
    uint8_t stage;
    uint8_t shift;       /* of the number's next digits; 0: none was read */
    uint8_t is_negative;
    uint8_t primed;      /* bytes of `code` that are there */
    uint32_t range;
    uint32_t code;
    uint16_t node;       /* in the tree of the byte being decoded; 0: not begun */
    uint16_t history;
    uint16_t is_zero[DELTA_HISTORY]; /* probabilities, of 4096, that the bit is 0 */
    uint8_t difference[DELTA_TREE_BYTES];
    uint8_t other[DELTA_TREE_BYTES];
    uint32_t line_at; /* of the old image, DELTA_LINE_BYTES from there are in `line` */
    uint8_t line[DELTA_LINE_BYTES];
};

/* 0 or DELTA_EFORMAT. */
int delta_read_header(struct delta_header *header, const uint8_t bytes[DELTA_HEADER_BYTES]);

/* 0: what lies in `old` is the image that this patch is made from; else DELTA_EOLD or an error
 * of flash.h. */
int delta_check_old(const struct delta_header *header, const struct nv_area *old);

/* Begins, and writes nothing yet. `old` and `slot` must not overlap. */
int delta_open(struct delta *delta, const struct delta_header *header, const struct nv_area *old,
               const struct nv_area *slot);

/* Goes on with the bytes behind the header: at most one flash operation. Says in *used how many
 * of `len` it took, and returns one of DELTA_HUNGRY, _BUSY, _DONE or an error. */
int delta_step(struct delta *delta, const uint8_t *bytes, uint32_t len, uint32_t *used);

#endif
