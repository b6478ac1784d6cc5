/* CBOR (RFC 8949), the part of it that SMP needs. SPDX-License-Identifier: Apache-2.0
 *
 * Reading: one map, of definite or indefinite length, whose keys are text; of its values those
 * that the caller names, unsigned integers, strings, booleans; all others are skipped, up to
 * CBOR_MAX_DEPTH deep. Strings must have a definite length, keys may stand once. Writing: definite
 * lengths only. firmware/SPEC.md lists the subset.
 *
 * Bytes read are hostile: nothing outside of the reader's is touched, nothing recurs. */
#ifndef CBOR_H
#define CBOR_H

#include <stdint.h>

#define CBOR_MAX_DEPTH 8
#define CBOR_MAX_FIELDS 32 /* of one call of cbor_read_map() */

enum {
    CBOR_EFORM = -50, /* not CBOR, not the part of it above, or cut off */
    CBOR_ETYPE = -51, /* a value is of another type than wanted, or out of its range */
    CBOR_ETWICE = -52, /* a key that is wanted is there twice */
};

struct cbor_reader {
    const uint8_t *at;
    const uint8_t *end;
};

/* A string where it lies in the reader's bytes; `at` is NULL if it is not there. */
struct cbor_string {
    const uint8_t *at;
    uint32_t len;
};

enum cbor_type {
    CBOR_UINT,  /* uint32_t; larger numbers are CBOR_ETYPE */
    CBOR_BYTES, /* struct cbor_string */
    CBOR_TEXT,  /* struct cbor_string, without a terminator; its UTF-8 is not checked */
    CBOR_BOOL,  /* uint32_t, 0 or 1 */
};

/* A key that is wanted, and where its value goes. What is not in the map stays as it was. */
struct cbor_field {
    const char *key;
    enum cbor_type type;
    void *value;
};

/* Reads the map that the reader's bytes begin with, and moves it behind. Returns 0 or an error;
 * then fields may have been set. No bytes at all are an empty map. */
int cbor_read_map(struct cbor_reader *reader, const struct cbor_field *fields, uint32_t count);

/* Whether a string is `text`. */
int cbor_is_text(const struct cbor_string *string, const char *text);

/* What does not fit is not written, and `is_full` is set for good. */
struct cbor_writer {
    uint8_t *start;
    uint8_t *at;
    uint8_t *end;
    uint8_t is_full;
};

void cbor_put_map(struct cbor_writer *writer, uint32_t pairs);
void cbor_put_array(struct cbor_writer *writer, uint32_t items);
void cbor_put_uint(struct cbor_writer *writer, uint32_t value);
void cbor_put_int(struct cbor_writer *writer, int32_t value);
void cbor_put_bool(struct cbor_writer *writer, int value);
void cbor_put_float(struct cbor_writer *writer, float value);
void cbor_put_text(struct cbor_writer *writer, const char *text); /* keys, too */
void cbor_put_text_bytes(struct cbor_writer *writer, const void *text, uint32_t len);
void cbor_put_bytes(struct cbor_writer *writer, const void *bytes, uint32_t len);

/* Opens a byte string of `len` bytes, which the caller fills in; NULL if it does not fit. */
uint8_t *cbor_open_bytes(struct cbor_writer *writer, uint32_t len);

/* Bytes left; a byte string of cbor_room() - 5 always fits. */
uint32_t cbor_room(const struct cbor_writer *writer);

#endif
