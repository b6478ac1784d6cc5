/* Patches: a new image made of the one that runs. SPDX-License-Identifier: Apache-2.0 */
#include "delta.h"

#include <string.h>

#include "boot_image.h"

#define FORMAT 1u
#define NUMBER_MAX_SHIFT 27u /* four bytes of digits: numbers are under 2^27 */
#define CODE_BYTES 4u
#define TOP (1u << 24) /* a range below it takes another byte */
#define PROBABILITY_BITS 12
#define EVEN (1u << (PROBABILITY_BITS - 1))
#define ZERO_RATE 4 /* how fast probabilities follow: by 1/16 and 1/32 */
#define TREE_RATE 5
#define STARVED (-1) /* a bit or byte needs input that is not there yet */

enum stage { DIFFERENCE_COUNT, DIFFERENCES, NEW_COUNT, NEW_BYTES, SEEK };

struct input {
    const uint8_t *next;
    uint32_t left;
};

static uint32_t load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void store32(uint8_t *p, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        p[i] = (uint8_t)(value >> 8 * i);
    }
}

/* Two of a tree's probabilities lie in three bytes: the low halves, then what is left of both. */
static uint32_t probability(const uint8_t tree[DELTA_TREE_BYTES], uint32_t node)
{
    const uint8_t *const pair = tree + node / 2 * 3;

    return (uint32_t)(pair[2] >> (node % 2 * 4) & 15) << 8 | pair[node % 2];
}

static void set_probability(uint8_t tree[DELTA_TREE_BYTES], uint32_t node, uint32_t value)
{
    uint8_t *const pair = tree + node / 2 * 3;
    const uint32_t shift = node % 2 * 4;

    pair[node % 2] = (uint8_t)value;
    pair[2] = (uint8_t)((pair[2] & 0xf0u >> shift) | value >> 8 << shift);
}

int delta_read_header(struct delta_header *header, const uint8_t bytes[DELTA_HEADER_BYTES])
{
    if (load32(bytes) != DELTA_MAGIC || bytes[4] != FORMAT || bytes[6] != 0 || bytes[7] != 0) {
        return DELTA_EFORMAT;
    }
    header->image = bytes[5];
    header->old_bytes = load32(bytes + 8);
    header->new_bytes = load32(bytes + 12);
    header->old_base = load32(bytes + 16);
    header->new_base = load32(bytes + 20);
    header->span = load32(bytes + 24);
    header->stream_bytes = load32(bytes + 28);
    memcpy(header->old_hash, bytes + 32, sizeof header->old_hash);
    memcpy(header->new_hash, bytes + 64, sizeof header->new_hash);
    return 0;
}

int delta_check_old(const struct delta_header *header, const struct nv_area *old)
{
    const struct boot_image_source source = boot_image_in_area(old, old->bytes);
    struct boot_image image;
    const enum boot_status status = boot_image_read(&image, &source);

    if (status == BOOT_EREAD) {
        return FLASH_EIO;
    }
    return status == BOOT_GOOD && image.total_bytes == header->old_bytes
                   && memcmp(image.hash, header->old_hash, sizeof image.hash) == 0
               ? 0
               : DELTA_EOLD;
}

int delta_open(struct delta *delta, const struct delta_header *header, const struct nv_area *old,
               const struct nv_area *slot)
{
    memset(delta, 0, sizeof *delta);
    delta->header = *header;
    delta->old = *old;
    const int err = slot_writer_open(&delta->writer, slot);

    if (err) {
        return err;
    }
    if (header->old_bytes > old->bytes) {
        return DELTA_EOLD;
    }
    if (header->new_bytes == 0 || header->new_bytes > delta->writer.room) {
        return DELTA_EROOM;
    }
    delta->range = UINT32_MAX;
    delta->line_at = UINT32_MAX;
    for (uint32_t i = 0; i < DELTA_HISTORY; i++) {
        delta->is_zero[i] = EVEN;
    }
    for (uint32_t i = 0; i < 256; i++) {
        set_probability(delta->difference, i, EVEN);
        set_probability(delta->other, i, EVEN);
    }
    return 0;
}

/* --- The range decoder: 0, 1 or STARVED. A bit that starves is decoded again from its start. --- */

static int has_input(struct delta *d, struct input *in)
{
    while (d->primed < CODE_BYTES || d->range < TOP) {
        if (in->left == 0) {
            return 0;
        }
        in->left--;
        d->code = d->code << 8 | *in->next++;
        if (d->primed < CODE_BYTES) {
            d->primed++;
        } else {
            d->range <<= 8;
        }
    }
    return 1;
}

/* *zero stays in [15, 4081] or [31, 4065], so no part of the range is ever empty. */
static int decode_bit(struct delta *d, struct input *in, uint16_t *zero, int rate)
{
    if (!has_input(d, in)) {
        return STARVED;
    }
    const uint32_t bound = (d->range >> PROBABILITY_BITS) * *zero;

    if (d->code < bound) {
        d->range = bound;
        *zero = (uint16_t)(*zero + (((1u << PROBABILITY_BITS) - *zero) >> rate));
        return 0;
    }
    d->code -= bound;
    d->range -= bound;
    *zero = (uint16_t)(*zero - (*zero >> rate));
    return 1;
}

/* Its eight bits, the highest first, each under the probability of those before it. */
static int decode_byte(struct delta *d, struct input *in, uint8_t tree[DELTA_TREE_BYTES])
{
    if (d->node == 0) {
        d->node = 1;
    }
    while (d->node < 256) {
        uint16_t zero = (uint16_t)probability(tree, d->node);
        const int bit = decode_bit(d, in, &zero, TREE_RATE);

        if (bit < 0) {
            return bit;
        }
        set_probability(tree, d->node, zero);
        d->node = (uint16_t)((uint32_t)d->node << 1 | (uint32_t)bit);
    }
    const int byte = d->node - 256;

    d->node = 0;
    return byte;
}

/* Most differences are none: one bit says so. */
static int decode_difference(struct delta *d, struct input *in)
{
    if (d->node == 0) {
        const int some = decode_bit(d, in, &d->is_zero[d->history], ZERO_RATE);

        if (some < 0) {
            return some;
        }
        d->history = (uint16_t)(((uint32_t)d->history << 1 | (uint32_t)some) % DELTA_HISTORY);
        if (!some) {
            return 0;
        }
    }
    return decode_byte(d, in, d->difference);
}

/* 1: d->number is whole; 0: not yet; else an error. Sizes as detools packs them: seven bits a
 * byte, the low ones first, bit 7 if more follow; in the first byte bit 6 is the sign. */
static int decode_number(struct delta *d, struct input *in)
{
    for (;;) {
        const int byte = decode_byte(d, in, d->other);

        if (byte < 0) {
            return 0;
        }
        if (d->shift == 0) {
            d->is_negative = (byte & 0x40) != 0;
            d->number = (uint32_t)byte & 0x3fu;
            d->shift = 6;
        } else {
            d->number |= ((uint32_t)byte & 0x7fu) << d->shift;
            d->shift = (uint8_t)(d->shift + 7);
        }
        if (!(byte & 0x80)) {
            d->shift = 0;
            return 1;
        }
        if (d->shift >= NUMBER_MAX_SHIFT) {
            return DELTA_ESTREAM;
        }
    }
}

/* --- Images. --- */

/* Words that are addresses within the old image become those of the new one, and the other way
 * round: nothing is lost, and the host needs no table of what is one. */
static void move_addresses(const struct delta_header *h, uint8_t *line, uint32_t len)
{
    for (uint32_t at = 0; h->old_base != h->new_base && at + 4 <= len; at += 4) {
        const uint32_t word = load32(line + at);

        if (word - h->old_base < h->span) {
            store32(line + at, word - h->old_base + h->new_base);
        } else if (word - h->new_base < h->span) {
            store32(line + at, word - h->new_base + h->old_base);
        }
    }
}

/* The byte of the old image at d->from, which lies inside of it. */
static int old_byte(struct delta *d, uint8_t *byte)
{
    const uint32_t at = d->from / DELTA_LINE_BYTES * DELTA_LINE_BYTES;

    if (at != d->line_at) {
        const uint32_t rest = d->header.old_bytes - at;
        const uint32_t len = rest < DELTA_LINE_BYTES ? rest : DELTA_LINE_BYTES;
        const int err = nv_area_read(&d->old, at, d->line, len);

        if (err) {
            return err;
        }
        move_addresses(&d->header, d->line, len);
        d->line_at = at;
    }
    *byte = d->line[d->from - at];
    return 0;
}

/* One byte of the run. 1: made; 0: starved; else an error. */
static int make_byte(struct delta *d, struct input *in)
{
    uint8_t byte = 0;
    const int coded = d->stage == DIFFERENCES ? decode_difference(d, in)
                                              : decode_byte(d, in, d->other);

    if (coded < 0) {
        return 0;
    }
    if (d->stage == DIFFERENCES) {
        const int err = old_byte(d, &byte);

        if (err) {
            return err;
        }
        d->from++;
    }
    byte = (uint8_t)(byte + coded);
    (void)slot_writer_put(&d->writer, &byte, 1); /* there is place: delta_step() sees to it */
    d->made++;
    d->run--;
    return 1;
}

/* What a number that was read means. */
static int begin(struct delta *d)
{
    const uint32_t number = d->number;
    const uint32_t rest = d->header.old_bytes - d->from;

    if (d->stage == SEEK) {
        if (number > (d->is_negative ? d->from : rest)) {
            return DELTA_ESTREAM;
        }
        d->from = d->is_negative ? d->from - number : d->from + number;
        return 0;
    }
    if (d->is_negative || number > d->header.new_bytes - d->made
        || (d->stage == DIFFERENCE_COUNT && number > rest)) {
        return DELTA_ESTREAM;
    }
    d->run = number;
    return 0;
}

/* A byte or a number. 1: go on; 0: starved; else an error. */
static int advance(struct delta *d, struct input *in)
{
    const int is_run = d->stage == DIFFERENCES || d->stage == NEW_BYTES;
    int result;

    if (is_run && d->run > 0) {
        return make_byte(d, in);
    }
    if (!is_run) {
        result = decode_number(d, in);
        if (result <= 0) {
            return result;
        }
        result = begin(d);
        if (result) {
            return result;
        }
    }
    d->stage = d->stage == SEEK ? DIFFERENCE_COUNT : (uint8_t)(d->stage + 1);
    return 1;
}

/* All bytes are made: waits for the end of the stream and for the flash. */
static int finish(struct delta *d, struct input *in)
{
    uint8_t digest[SHA256_BYTES];

    in->left = 0; /* what rounds the coder off */
    if (!d->writer.is_ended) {
        slot_writer_end(&d->writer);
        return DELTA_BUSY;
    }
    if (d->taken < d->header.stream_bytes) {
        return DELTA_HUNGRY;
    }
    slot_writer_digest(&d->writer, digest);
    return memcmp(digest, d->header.new_hash, sizeof digest) == 0 ? DELTA_DONE : DELTA_EHASH;
}

static int go_on(struct delta *d, struct input *in)
{
    int result = slot_writer_work(&d->writer);

    if (result) {
        return result < 0 ? result : DELTA_BUSY;
    }
    while (d->made < d->header.new_bytes) {
        if (slot_writer_is_full(&d->writer)) {
            return DELTA_BUSY;
        }
        result = advance(d, in);
        if (result < 0) {
            return result;
        }
        if (result == 0) {
            return DELTA_HUNGRY;
        }
    }
    return finish(d, in);
}

int delta_step(struct delta *delta, const uint8_t *bytes, uint32_t len, uint32_t *used)
{
    const uint32_t rest = delta->header.stream_bytes - delta->taken;
    struct input in = { bytes, len };

    *used = 0;
    if (delta->end) {
        return delta->end;
    }
    if (len > rest) {
        return delta->end = DELTA_ESTREAM;
    }
    int result = go_on(delta, &in);

    *used = len - in.left;
    delta->taken += *used;
    if (result == DELTA_HUNGRY && delta->taken == delta->header.stream_bytes) {
        result = delta->made < delta->header.new_bytes ? DELTA_ESHORT : DELTA_BUSY;
    }
    if (result < 0 || result == DELTA_DONE) {
        delta->end = result;
    }
    return result;
}
