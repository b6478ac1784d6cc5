/* SHA-256 (FIPS 180-4). SPDX-License-Identifier: Apache-2.0 */
#include "sha256.h"

#include <string.h>

/* Section 4.2: the first bits of the fractional parts of cube roots of the first primes. */
static const uint32_t round_constants[64] = {
    0x428a2f98u, 0x71374491u, 0xb5c0fbcfu, 0xe9b5dba5u, 0x3956c25bu, 0x59f111f1u,
    0x923f82a4u, 0xab1c5ed5u, 0xd807aa98u, 0x12835b01u, 0x243185beu, 0x550c7dc3u,
    0x72be5d74u, 0x80deb1feu, 0x9bdc06a7u, 0xc19bf174u, 0xe49b69c1u, 0xefbe4786u,
    0x0fc19dc6u, 0x240ca1ccu, 0x2de92c6fu, 0x4a7484aau, 0x5cb0a9dcu, 0x76f988dau,
    0x983e5152u, 0xa831c66du, 0xb00327c8u, 0xbf597fc7u, 0xc6e00bf3u, 0xd5a79147u,
    0x06ca6351u, 0x14292967u, 0x27b70a85u, 0x2e1b2138u, 0x4d2c6dfcu, 0x53380d13u,
    0x650a7354u, 0x766a0abbu, 0x81c2c92eu, 0x92722c85u, 0xa2bfe8a1u, 0xa81a664bu,
    0xc24b8b70u, 0xc76c51a3u, 0xd192e819u, 0xd6990624u, 0xf40e3585u, 0x106aa070u,
    0x19a4c116u, 0x1e376c08u, 0x2748774cu, 0x34b0bcb5u, 0x391c0cb3u, 0x4ed8aa4au,
    0x5b9cca4fu, 0x682e6ff3u, 0x748f82eeu, 0x78a5636fu, 0x84c87814u, 0x8cc70208u,
    0x90befffau, 0xa4506cebu, 0xbef9a3f7u, 0xc67178f2u
};

/* Section 5.3: likewise, of square roots. */
static const uint32_t initial_state[8] = {
    0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au, 0x510e527fu, 0x9b05688cu,
    0x1f83d9abu, 0x5be0cd19u
};

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

/* Section 6.2.2. The schedule is a ring of 16 words; the working variables stand still while the
 * indices turn, which saves eight moves a round. */
static void compress(uint32_t state[8], const uint8_t block[SHA256_BLOCK_BYTES])
{
    uint32_t w[16];
    uint32_t v[8];

    for (unsigned i = 0; i < 16; i++) {
        w[i] = load_be(block + 4 * i);
    }
    memcpy(v, state, sizeof v);
    for (unsigned i = 0; i < 64; i++) {
        const uint32_t a = v[(0u - i) & 7], b = v[(1u - i) & 7], c = v[(2u - i) & 7];
        const uint32_t e = v[(4u - i) & 7], f = v[(5u - i) & 7], g = v[(6u - i) & 7];
        const uint32_t sigma1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
        const uint32_t sigma0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
        const uint32_t t = v[(7u - i) & 7] + sigma1 + ((e & f) ^ (~e & g)) + round_constants[i]
                           + w[i & 15];
        const uint32_t next = w[(i + 1) & 15], last = w[(i + 14) & 15];

        v[(3u - i) & 7] += t;
        v[(7u - i) & 7] = t + sigma0 + ((a & b) ^ (a & c) ^ (b & c));
        w[i & 15] += (rotate(next, 7) ^ rotate(next, 18) ^ (next >> 3)) + w[(i + 9) & 15]
                     + (rotate(last, 17) ^ rotate(last, 19) ^ (last >> 10));
    }
    for (unsigned i = 0; i < 8; i++) {
        state[i] += v[i];
    }
}

void sha256_init(struct sha256 *hash)
{
    memcpy(hash->state, initial_state, sizeof hash->state);
    hash->len = 0;
}

void sha256_update(struct sha256 *hash, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;

    while (len > 0) {
        const size_t filled = (size_t)(hash->len % SHA256_BLOCK_BYTES);
        const size_t room = SHA256_BLOCK_BYTES - filled;
        const size_t part = len < room ? len : room;

        memcpy(hash->block + filled, p, part);
        hash->len += part;
        p += part;
        len -= part;
        if (part == room) {
            compress(hash->state, hash->block);
        }
    }
}

void sha256_final(struct sha256 *hash, uint8_t digest[SHA256_BYTES])
{
    static const uint8_t padding[SHA256_BLOCK_BYTES] = { 0x80 };
    const uint64_t bits = hash->len * 8;
    const size_t filled = (size_t)(hash->len % SHA256_BLOCK_BYTES);
    const size_t end = SHA256_BLOCK_BYTES - 8;
    uint8_t length[8] = { 0 };

    for (unsigned i = 0; i < 8; i++) {
        length[7 - i] = (uint8_t)(bits >> (8 * i));
    }
    sha256_update(hash, padding, filled < end ? end - filled : end + SHA256_BLOCK_BYTES - filled);
    sha256_update(hash, length, sizeof length);
    for (unsigned i = 0; i < 8; i++) {
        store_be(digest + 4 * i, hash->state[i]);
    }
}
