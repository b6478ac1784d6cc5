/* SHA-256 (FIPS 180-4). SPDX-License-Identifier: Apache-2.0 */
#include "sha256.h"

#include <string.h>

#include "sha2.h"

#define ROUNDS 64
#define STRETCH 16
#define LENGTH_AT (SHA256_BLOCK_BYTES - 8)

static uint32_t rotate(uint32_t x, unsigned bits)
{
    return (x >> bits) | (x << (32 - bits));
}

static uint32_t load_be(const uint8_t *p)
{
    uint32_t word = 0;

    for (unsigned i = 0; i < 4; i++) {
        word = (word << 8) | p[i];
    }
    return word;
}

static void store_be(uint8_t *p, uint32_t word)
{
    for (unsigned i = 4; i-- > 0; word >>= 8) {
        p[i] = (uint8_t)word;
    }
}

/* Section 6.2.2. Nothing is moved from round to round: for a stretch of rounds, the window of the
 * eight working variables goes down a word at a time, that of the schedule's last 16 words up;
 * then both begin anew. The last 16 words computed are not used; to ask each time takes longer. */
static void compress(uint32_t state[8], const uint8_t block[SHA256_BLOCK_BYTES])
{
    uint32_t schedule[2 * STRETCH];
    uint32_t variables[STRETCH + 8];
    uint32_t *const first = variables + STRETCH;
    const uint64_t *k = sha2_round_constants;

    for (unsigned i = 0; i < 16; i++) {
        schedule[i] = load_be(block + 4 * i);
    }
    memcpy(first, state, 8 * sizeof *first);
    while (k < sha2_round_constants + ROUNDS) {
        uint32_t *v = first;

        for (uint32_t *w = schedule; w < schedule + STRETCH; w++) {
            const uint32_t t = v[7] + (rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25))
                               + (v[6] ^ (v[4] & (v[5] ^ v[6]))) + (uint32_t)(*k++ >> 32) + w[0];

            w[16] = w[0] + (rotate(w[1], 7) ^ rotate(w[1], 18) ^ (w[1] >> 3)) + w[9]
                    + (rotate(w[14], 17) ^ rotate(w[14], 19) ^ (w[14] >> 10));
            v[3] += t;
            v--;
            v[0] = t + (rotate(v[1], 2) ^ rotate(v[1], 13) ^ rotate(v[1], 22))
                   + ((v[1] & v[2]) | (v[3] & (v[1] | v[2])));
        }
        memcpy(first, variables, 8 * sizeof *first);
        memcpy(schedule, schedule + STRETCH, STRETCH * sizeof *schedule);
    }
    for (unsigned i = 0; i < 8; i++) {
        state[i] += first[i];
    }
}

void sha256_init(struct sha256 *hash)
{
    for (unsigned i = 0; i < 8; i++) {
        hash->state[i] = (uint32_t)(sha2_initial_state[i] >> 32);
    }
    hash->len = 0;
}

void sha256_update(struct sha256 *hash, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;

    while (len > 0) {
        const size_t filled = (size_t)(hash->len % SHA256_BLOCK_BYTES);
        const size_t room = SHA256_BLOCK_BYTES - filled;
        const size_t part = len < room ? len : room;
        const uint8_t *block = hash->block;

        if (part == SHA256_BLOCK_BYTES) {
            block = p;
        } else {
            memcpy(hash->block + filled, p, part);
        }
        hash->len += part;
        p += part;
        len -= part;
        if (part == room) {
            compress(hash->state, block);
        }
    }
}

void sha256_final(struct sha256 *hash, uint8_t digest[SHA256_BYTES])
{
    uint8_t *const block = hash->block;
    size_t filled = (size_t)(hash->len % SHA256_BLOCK_BYTES);

    block[filled++] = 0x80;
    if (filled > LENGTH_AT) {
        memset(block + filled, 0, SHA256_BLOCK_BYTES - filled);
        compress(hash->state, block);
        filled = 0;
    }
    memset(block + filled, 0, LENGTH_AT - filled);
    store_be(block + LENGTH_AT, (uint32_t)(hash->len >> 29));
    store_be(block + LENGTH_AT + 4, (uint32_t)hash->len << 3);
    compress(hash->state, block);
    for (unsigned i = 0; i < 8; i++) {
        store_be(digest + 4 * i, hash->state[i]);
    }
}
