/* SHA-512 (FIPS 180-4), in little code: what it hashes here is short.
 * SPDX-License-Identifier: Apache-2.0 */
#include "sha512.h"

#include <string.h>

#include "sha2.h"

#define ROUNDS 80
#define STRETCH 16

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return (x >> bits) | (x << (64 - bits));
}

static uint64_t load_be(const uint8_t *p)
{
    uint64_t word = 0;

    for (unsigned i = 0; i < 8; i++) {
        word = (word << 8) | p[i];
    }
    return word;
}

static void store_be(uint8_t *p, uint64_t word)
{
    for (unsigned i = 8; i-- > 0; word >>= 8) {
        p[i] = (uint8_t)word;
    }
}

/* Section 6.4.2, as sha256.c has it. */
static void compress(void *of_hash, const uint8_t *block)
{
    uint64_t *const state = of_hash;
    uint64_t schedule[2 * STRETCH];
    uint64_t variables[STRETCH + 8];
    uint64_t *const first = variables + STRETCH;
    const uint64_t *k = sha2_round_constants;

    for (unsigned i = 0; i < 16; i++) {
        schedule[i] = load_be(block + 8 * i);
    }
    memcpy(first, state, 8 * sizeof *first);
    while (k < sha2_round_constants + ROUNDS) {
        uint64_t *v = first;

        for (uint64_t *w = schedule; w < schedule + STRETCH; w++) {
            const uint64_t t = v[7] + (rotate(v[4], 14) ^ rotate(v[4], 18) ^ rotate(v[4], 41))
                               + (v[6] ^ (v[4] & (v[5] ^ v[6]))) + *k++ + w[0];

            w[16] = w[0] + (rotate(w[1], 1) ^ rotate(w[1], 8) ^ (w[1] >> 7)) + w[9]
                    + (rotate(w[14], 19) ^ rotate(w[14], 61) ^ (w[14] >> 6));
            v[3] += t;
            v--;
            v[0] = t + (rotate(v[1], 28) ^ rotate(v[1], 34) ^ rotate(v[1], 39))
                   + ((v[1] & v[2]) | (v[3] & (v[1] | v[2])));
        }
        memcpy(first, variables, 8 * sizeof *first);
        memcpy(schedule, schedule + STRETCH, STRETCH * sizeof *schedule);
    }
    for (unsigned i = 0; i < 8; i++) {
        state[i] += first[i];
    }
}

static const struct sha2_form form = { SHA512_BLOCK_BYTES, compress };

_Static_assert(offsetof(struct sha512, len) == SHA512_BLOCK_BYTES / 2
                   && offsetof(struct sha512, block) == SHA512_BLOCK_BYTES / 2 + 8,
               "laid out as sha2.h says");

void sha512_init(struct sha512 *hash)
{
    memcpy(hash->state, sha2_initial_state, sizeof hash->state);
    hash->len = 0;
}

void sha512_update(struct sha512 *hash, const void *bytes, size_t len)
{
    sha2_update(&form, hash, bytes, len);
}

void sha512_final(struct sha512 *hash, uint8_t digest[SHA512_BYTES])
{
    sha2_end(&form, hash);
    for (unsigned i = 0; i < 8; i++) {
        store_be(digest + 8 * i, hash->state[i]);
    }
}
