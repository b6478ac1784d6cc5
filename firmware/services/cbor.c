/* CBOR, the part of it that SMP needs. SPDX-License-Identifier: Apache-2.0 */
#include "cbor.h"

#include <string.h>

/* Major types, RFC 8949, 3.1. */
enum {
    MAJOR_UINT = 0,
    MAJOR_NEGATIVE = 1,
    MAJOR_BYTES = 2,
    MAJOR_TEXT = 3,
    MAJOR_ARRAY = 4,
    MAJOR_MAP = 5,
    MAJOR_TAG = 6,
    MAJOR_SIMPLE = 7,
};

#define INFO_ONE_BYTE 24u   /* the argument is in 1, 2, 4, 8 bytes that follow */
#define INFO_EIGHT_BYTES 27u
#define INFO_INDEFINITE 31u
#define SIMPLE_FALSE 20u
#define SIMPLE_TRUE 21u
#define FLOAT_32 0xfau
#define BREAK 0xffu
#define INDEFINITE UINT64_MAX /* items that are left of an array or map with no number */

struct head {
    uint8_t major;
    uint8_t info;
    uint64_t argument;
};

static int read_head(struct cbor_reader *r, struct head *head)
{
    if (r->at == r->end) {
        return CBOR_EFORM;
    }
    head->major = *r->at >> 5;
    head->info = *r->at & 31;
    head->argument = head->info;
    r->at++;
    if (head->info < INFO_ONE_BYTE || head->info == INFO_INDEFINITE) {
        return 0;
    }
    if (head->info > INFO_EIGHT_BYTES) {
        return CBOR_EFORM;
    }
    uint32_t bytes = 1u << (head->info - INFO_ONE_BYTE);

    if (bytes > (uint32_t)(r->end - r->at)) {
        return CBOR_EFORM;
    }
    for (head->argument = 0; bytes > 0; bytes--) {
        head->argument = head->argument << 8 | *r->at++;
    }
    return 0;
}

/* The bytes of a string whose head was read. */
static int take(struct cbor_reader *r, const struct head *head, struct cbor_string *string)
{
    if (head->info == INFO_INDEFINITE || head->argument > (uint64_t)(r->end - r->at)) {
        return CBOR_EFORM;
    }
    string->at = r->at;
    string->len = (uint32_t)head->argument;
    r->at += string->len;
    return 0;
}

static int is_break(const struct cbor_reader *r)
{
    return r->at < r->end && *r->at == BREAK;
}

/* Skips the rest of an item whose head was read, with all that is in it. */
static int skip(struct cbor_reader *r, struct head head)
{
    uint64_t left[CBOR_MAX_DEPTH]; /* items in each array or map that is open */
    uint8_t is_map[CBOR_MAX_DEPTH];
    uint8_t is_odd[CBOR_MAX_DEPTH]; /* a key was read, and its value not yet */
    uint32_t depth = 0;

    for (;;) {
        struct cbor_string string;

        if (head.major == MAJOR_BYTES || head.major == MAJOR_TEXT) {
            if (take(r, &head, &string)) {
                return CBOR_EFORM;
            }
        } else if (head.major == MAJOR_ARRAY || head.major == MAJOR_MAP) {
            /* Every item takes a byte at least: larger numbers cannot be true. */
            if (depth == CBOR_MAX_DEPTH
                || (head.info != INFO_INDEFINITE
                    && head.argument > (uint64_t)(r->end - r->at))) {
                return CBOR_EFORM;
            }
            is_map[depth] = head.major == MAJOR_MAP;
            is_odd[depth] = 0;
            left[depth++] = head.info == INFO_INDEFINITE ? INDEFINITE
                            : head.major == MAJOR_MAP    ? 2 * head.argument
                                                         : head.argument;
        } else if (head.major == MAJOR_TAG || head.info == INFO_INDEFINITE) {
            return CBOR_EFORM;
        }
        while (depth > 0) {
            if (left[depth - 1] == INDEFINITE && is_break(r)) {
                if (is_map[depth - 1] && is_odd[depth - 1]) {
                    return CBOR_EFORM;
                }
                r->at++;
            } else if (left[depth - 1] != 0) {
                break;
            }
            depth--;
        }
        if (depth == 0) {
            return 0;
        }
        if (left[depth - 1] != INDEFINITE) {
            left[depth - 1]--;
        }
        is_odd[depth - 1] ^= 1;
        if (read_head(r, &head)) {
            return CBOR_EFORM;
        }
    }
}

static int read_value(struct cbor_reader *r, const struct cbor_field *field)
{
    struct cbor_string string;
    struct head head;
    int err = read_head(r, &head);

    if (err) {
        return err;
    }
    switch (field->type) {
    case CBOR_UINT:
        if (head.major != MAJOR_UINT || head.info == INFO_INDEFINITE
            || head.argument > UINT32_MAX) {
            return CBOR_ETYPE;
        }
        *(uint32_t *)field->value = (uint32_t)head.argument;
        return 0;
    case CBOR_BOOL:
        if (head.major != MAJOR_SIMPLE
            || (head.info != SIMPLE_FALSE && head.info != SIMPLE_TRUE)) {
            return CBOR_ETYPE;
        }
        *(uint32_t *)field->value = head.info == SIMPLE_TRUE;
        return 0;
    case CBOR_BYTES:
    case CBOR_TEXT:
    default:
        if (head.major != (field->type == CBOR_BYTES ? MAJOR_BYTES : MAJOR_TEXT)) {
            return CBOR_ETYPE;
        }
        err = take(r, &head, &string);
        if (!err) {
            *(struct cbor_string *)field->value = string;
        }
        return err;
    }
}

static int read_pair(struct cbor_reader *r, const struct cbor_field *fields, uint32_t count,
                     uint32_t *seen)
{
    struct cbor_string key;
    struct head head;
    int err = read_head(r, &head);

    if (err || head.major != MAJOR_TEXT || take(r, &head, &key)) {
        return CBOR_EFORM;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (cbor_is_text(&key, fields[i].key)) {
            if (*seen >> i & 1) {
                return CBOR_ETWICE;
            }
            *seen |= 1u << i;
            return read_value(r, &fields[i]);
        }
    }
    err = read_head(r, &head);
    return err ? err : skip(r, head);
}

int cbor_read_map(struct cbor_reader *r, const struct cbor_field *fields, uint32_t count)
{
    uint32_t seen = 0;
    struct head head;

    if (r->at == r->end) {
        return 0;
    }
    int err = read_head(r, &head);

    if (err || head.major != MAJOR_MAP || count > CBOR_MAX_FIELDS) {
        return CBOR_EFORM;
    }
    uint64_t left = head.info == INFO_INDEFINITE ? INDEFINITE : head.argument;

    while (left > 0) {
        if (left == INDEFINITE) {
            if (is_break(r)) {
                r->at++;
                return 0;
            }
        } else {
            left--;
        }
        err = read_pair(r, fields, count, &seen);
        if (err) {
            return err;
        }
    }
    return 0;
}

int cbor_is_text(const struct cbor_string *string, const char *text)
{
    return string->at && string->len == strlen(text)
           && memcmp(string->at, text, string->len) == 0;
}

uint32_t cbor_room(const struct cbor_writer *w)
{
    return (uint32_t)(w->end - w->at);
}

static uint8_t *reserve(struct cbor_writer *w, uint32_t len)
{
    uint8_t *const at = w->at;

    if (w->is_full || len > cbor_room(w)) {
        w->is_full = 1;
        return 0;
    }
    w->at += len;
    return at;
}

static void put_head(struct cbor_writer *w, uint32_t major, uint32_t argument)
{
    const uint32_t log = argument < INFO_ONE_BYTE ? 0
                         : argument <= 0xffu      ? 1
                         : argument <= 0xffffu    ? 2
                                                  : 3;
    const uint32_t bytes = log == 0 ? 0 : 1u << (log - 1);
    uint8_t *const at = reserve(w, 1 + bytes);

    if (!at) {
        return;
    }
    at[0] = (uint8_t)(major << 5 | (log == 0 ? argument : INFO_ONE_BYTE + log - 1));
    for (uint32_t i = 0; i < bytes; i++) {
        at[1 + i] = (uint8_t)(argument >> (8 * (bytes - 1 - i)));
    }
}

void cbor_put_map(struct cbor_writer *w, uint32_t pairs)
{
    put_head(w, MAJOR_MAP, pairs);
}

void cbor_put_array(struct cbor_writer *w, uint32_t items)
{
    put_head(w, MAJOR_ARRAY, items);
}

void cbor_put_uint(struct cbor_writer *w, uint32_t value)
{
    put_head(w, MAJOR_UINT, value);
}

void cbor_put_int(struct cbor_writer *w, int32_t value)
{
    put_head(w, (uint32_t)(value < 0 ? MAJOR_NEGATIVE : MAJOR_UINT),
             value < 0 ? ~(uint32_t)value : (uint32_t)value);
}

void cbor_put_bool(struct cbor_writer *w, int value)
{
    put_head(w, MAJOR_SIMPLE, value ? SIMPLE_TRUE : SIMPLE_FALSE);
}

void cbor_put_float(struct cbor_writer *w, float value)
{
    uint8_t *const at = reserve(w, 5);
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    if (at) {
        at[0] = FLOAT_32;
        for (uint32_t i = 0; i < 4; i++) {
            at[1 + i] = (uint8_t)(bits >> (24 - 8 * i));
        }
    }
}

static void put_string(struct cbor_writer *w, uint32_t major, const void *bytes, uint32_t len)
{
    put_head(w, major, len);
    uint8_t *const at = reserve(w, len);

    if (at && len > 0) {
        memcpy(at, bytes, len);
    }
}

void cbor_put_text_bytes(struct cbor_writer *w, const void *text, uint32_t len)
{
    put_string(w, MAJOR_TEXT, text, len);
}

void cbor_put_text(struct cbor_writer *w, const char *text)
{
    put_string(w, MAJOR_TEXT, text, (uint32_t)strlen(text));
}

void cbor_put_bytes(struct cbor_writer *w, const void *bytes, uint32_t len)
{
    put_string(w, MAJOR_BYTES, bytes, len);
}

uint8_t *cbor_open_bytes(struct cbor_writer *w, uint32_t len)
{
    put_head(w, MAJOR_BYTES, len);
    return reserve(w, len);
}
