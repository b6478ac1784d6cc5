/* SHA-256 (FIPS 180-4). SPDX-License-Identifier: Apache-2.0 */
#include "sha256.h"

#include <string.h>

#include "sha2.h"

#define ROUNDS 64
#define STRETCH 16

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
static void compress(void *of_hash, const uint8_t *block)
{
    uint32_t *const state = of_hash;
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

static const struct sha2_form form = { SHA256_BLOCK_BYTES, compress };

_Static_assert(offsetof(struct sha256, len) == SHA256_BLOCK_BYTES / 2
                   && offsetof(struct sha256, block) == SHA256_BLOCK_BYTES / 2 + 8,
               "laid out as sha2.h says");

void sha256_init(struct sha256 *hash)
{
    for (unsigned i = 0; i < 8; i++) {
        hash->state[i] = (uint32_t)(sha2_initial_state[i] >> 32);
    }
    hash->len = 0;
}

void sha256_update(struct sha256 *hash, const void *bytes, size_t len)
{
    sha2_update(&form, hash, bytes, len);
}

void sha256_final(struct sha256 *hash, uint8_t digest[SHA256_BYTES])
{
    sha2_end(&form, hash);
    for (unsigned i = 0; i < 8; i++) {
        store_be(digest + 4 * i, hash->state[i]);
    }
}
