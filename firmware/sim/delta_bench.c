/* Patches made in memory, for campaigns. SPDX-License-Identifier: Apache-2.0 */
#include "delta_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot_image.h"
#include "delta.h"
#include "sha256.h"

struct encoder {
    uint8_t *next;
    uint32_t left;
    uint64_t low; /* below 2^33 */
    uint32_t range;
    uint8_t held; /* a byte that a carry may still reach, and how many 0xff behind it */
    uint32_t pending;
    uint32_t is_begun; /* the first byte held is none */
    uint32_t history;
    uint16_t is_zero[DELTA_HISTORY];
    uint16_t difference[256];
    uint16_t other[256];
};

static void put(struct encoder *e, uint8_t byte)
{
    if (e->left == 0) {
        fprintf(stderr, "delta_bench: no room for the patch\n");
        exit(3);
    }
    e->left--;
    *e->next++ = byte;
}

static void shift(struct encoder *e)
{
    if (e->low < 0xff000000u || e->low > UINT32_MAX) {
        const uint32_t carry = (uint32_t)(e->low >> 32);

        if (e->is_begun) {
            put(e, (uint8_t)(e->held + carry));
        }
        e->is_begun = 1;
        for (; e->pending > 0; e->pending--) {
            put(e, (uint8_t)(0xffu + carry));
        }
        e->held = (uint8_t)(e->low >> 24);
    } else {
        e->pending++;
    }
    e->low = (e->low << 8) & UINT32_MAX;
}

static void put_bit(struct encoder *e, uint16_t *zero, uint32_t bit, int rate)
{
    const uint32_t was = *zero;
    const uint32_t bound = (e->range >> 12) * was;

    if (bit) {
        e->low += bound;
        e->range -= bound;
        *zero = (uint16_t)(was - (was >> rate));
    } else {
        e->range = bound;
        *zero = (uint16_t)(was + ((4096 - was) >> rate));
    }
    while (e->range < 1u << 24) {
        e->range <<= 8;
        shift(e);
    }
}

static void put_byte(struct encoder *e, uint16_t tree[256], uint8_t byte)
{
    uint32_t node = 1;

    for (uint32_t place = 8; place-- > 0;) {
        const uint32_t bit = (uint32_t)byte >> place & 1u;

        put_bit(e, &tree[node], bit, 5);
        node = node << 1 | bit;
    }
}

static void put_difference(struct encoder *e, uint8_t byte)
{
    const uint32_t some = byte != 0;

    put_bit(e, &e->is_zero[e->history], some, 4);
    e->history = (e->history << 1 | some) % DELTA_HISTORY;
    if (some) {
        put_byte(e, e->difference, byte);
    }
}

static void put_number(struct encoder *e, uint32_t value)
{
    uint32_t digits = value & 0x3fu;

    for (value >>= 6; value > 0; value >>= 7) {
        put_byte(e, e->other, (uint8_t)(digits | 0x80));
        digits = value & 0x7fu;
    }
    put_byte(e, e->other, (uint8_t)digits);
}

static uint8_t *put_word(uint8_t *p, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        *p++ = (uint8_t)(value >> 8 * i);
    }
    return p;
}

static uint32_t put_stream(const uint8_t *old, uint32_t old_bytes, const uint8_t *new,
                           uint32_t new_bytes, uint8_t *stream, uint32_t cap)
{
    const uint32_t both = old_bytes < new_bytes ? old_bytes : new_bytes;
    struct encoder e = { .next = stream, .left = cap, .range = UINT32_MAX };

    for (uint32_t i = 0; i < 256; i++) {
        e.is_zero[i % DELTA_HISTORY] = e.difference[i] = e.other[i] = 2048;
    }
    put_number(&e, both);
    for (uint32_t i = 0; i < both; i++) {
        put_difference(&e, (uint8_t)(new[i] - old[i]));
    }
    put_number(&e, new_bytes - both);
    for (uint32_t i = both; i < new_bytes; i++) {
        put_byte(&e, e.other, new[i]);
    }
    put_number(&e, 0);
    for (int i = 0; i < 5; i++) {
        shift(&e);
    }
    return cap - e.left;
}

uint32_t delta_bench_make(uint8_t image, const uint8_t *old, uint32_t old_bytes,
                          const uint8_t *new, uint32_t new_bytes, uint8_t *patch, uint32_t cap)
{
    const struct boot_image_source old_source = boot_image_in_memory(old, old_bytes);
    const struct boot_image_source new_source = boot_image_in_memory(new, new_bytes);
    struct boot_image before, after;
    struct sha256 hash;

    if (cap < DELTA_HEADER_BYTES || boot_image_read(&before, &old_source) != BOOT_GOOD
        || boot_image_read(&after, &new_source) != BOOT_GOOD) {
        fprintf(stderr, "delta_bench: no images, or no room\n");
        exit(3);
    }
    const uint32_t stream_bytes = put_stream(old, old_bytes, new, new_bytes,
                                             patch + DELTA_HEADER_BYTES,
                                             cap - DELTA_HEADER_BYTES);
    uint8_t *p = put_word(patch, DELTA_MAGIC);

    p = put_word(p, 1u | (uint32_t)image << 8);
    p = put_word(put_word(p, old_bytes), new_bytes);
    p = put_word(put_word(p, before.load_address), after.load_address);
    p = put_word(p, 0); /* there are no addresses in these payloads */
    p = put_word(p, stream_bytes);
    memcpy(p, before.hash, sizeof before.hash);
    sha256_init(&hash);
    sha256_update(&hash, new, new_bytes);
    sha256_final(&hash, p + 32);
    return DELTA_HEADER_BYTES + stream_bytes;
}
