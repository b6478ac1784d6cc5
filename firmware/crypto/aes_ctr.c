/* AES in counter mode, constant time. SPDX-License-Identifier: Apache-2.0 */
#include "aes_ctr.h"

#include <string.h>

#include "monocypher.h"

/* Words hold four bytes of one column, row 0 lowest; every operation works on all four. */

static uint32_t double_bytes(uint32_t x)
{
    /* Times x in GF(2^8) mod x^8 + x^4 + x^3 + x + 1; the product cannot carry over a byte. */
    return ((x & 0x7f7f7f7fu) << 1) ^ (((x >> 7) & 0x01010101u) * 0x1bu);
}

static uint32_t multiply_bytes(uint32_t a, uint32_t b)
{
    uint32_t product = 0;

    for (int bit = 0; bit < 8; bit++) {
        product ^= a & (((b >> bit) & 0x01010101u) * 0xffu);
        a = double_bytes(a);
    }
    return product;
}

static uint32_t rotate_bytes_left(uint32_t x, int bits)
{
    const uint32_t low = ((1u << bits) - 1u) * 0x01010101u;

    return ((x << bits) & ~low) | ((x >> (8 - bits)) & low);
}

/* FIPS 197, 5.1.1: the inverse, x^254, then the affine map. */
static uint32_t substitute(uint32_t x)
{
    const uint32_t x2 = multiply_bytes(x, x);
    const uint32_t x3 = multiply_bytes(x2, x);
    const uint32_t x6 = multiply_bytes(x3, x3);
    const uint32_t x12 = multiply_bytes(x6, x6);
    const uint32_t x15 = multiply_bytes(x12, x3);
    const uint32_t x30 = multiply_bytes(x15, x15);
    const uint32_t x60 = multiply_bytes(x30, x30);
    const uint32_t x120 = multiply_bytes(x60, x60);
    const uint32_t x126 = multiply_bytes(x120, x6);
    const uint32_t x127 = multiply_bytes(x126, x);
    const uint32_t inverse = multiply_bytes(x127, x127);

    return inverse ^ rotate_bytes_left(inverse, 1) ^ rotate_bytes_left(inverse, 2)
           ^ rotate_bytes_left(inverse, 3) ^ rotate_bytes_left(inverse, 4) ^ 0x63636363u;
}

static uint32_t load_le(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t rotate_right(uint32_t x, int bits)
{
    return (x >> bits) | (x << (32 - bits));
}

int aes_ctr_init(struct aes_ctr *aes, const uint8_t *key, size_t key_len)
{
    const uint32_t key_words = (uint32_t)(key_len / 4);
    uint32_t *w = aes->round_keys;
    uint32_t round_constant = 1;

    if (key_len != 16 && key_len != 32) {
        return -1;
    }
    aes->rounds = key_words + 6;
    for (uint32_t i = 0; i < key_words; i++) {
        w[i] = load_le(key + 4 * i);
    }
    for (uint32_t i = key_words; i < 4 * (aes->rounds + 1); i++) {
        uint32_t t = w[i - 1];

        if (i % key_words == 0) {
            t = substitute(rotate_right(t, 8)) ^ round_constant;
            round_constant = double_bytes(round_constant);
        } else if (key_words > 6 && i % key_words == 4) {
            t = substitute(t);
        }
        w[i] = w[i - key_words] ^ t;
    }
    return 0;
}

static void encrypt_block(const struct aes_ctr *aes, uint8_t block[AES_CTR_BLOCK_BYTES])
{
    const uint32_t *key = aes->round_keys;
    uint32_t s[4];

    for (uint32_t c = 0; c < 4; c++) {
        s[c] = load_le(block + 4 * c) ^ *key++;
    }
    for (uint32_t round = 1; round <= aes->rounds; round++) {
        uint32_t t[4];

        for (uint32_t c = 0; c < 4; c++) {
            s[c] = substitute(s[c]);
        }
        for (uint32_t c = 0; c < 4; c++) {
            /* Rows shifted, then columns mixed, but for the last round. */
            const uint32_t x = (s[c] & 0xffu) | (s[(c + 1) & 3] & 0xff00u)
                               | (s[(c + 2) & 3] & 0xff0000u) | (s[(c + 3) & 3] & 0xff000000u);
            const uint32_t pairs = x ^ rotate_right(x, 8);

            t[c] = round == aes->rounds
                       ? x
                       : double_bytes(pairs) ^ rotate_right(x, 8) ^ rotate_right(pairs, 16);
        }
        for (uint32_t c = 0; c < 4; c++) {
            s[c] = t[c] ^ *key++;
        }
    }
    for (uint32_t i = 0; i < AES_CTR_BLOCK_BYTES; i++) {
        block[i] = (uint8_t)(s[i / 4] >> (8 * (i % 4)));
    }
}

static void count_up(uint8_t counter[AES_CTR_BLOCK_BYTES], uint32_t by)
{
    for (int i = AES_CTR_BLOCK_BYTES - 1; i >= 0 && by != 0; i--) {
        by += counter[i];
        counter[i] = (uint8_t)by;
        by >>= 8;
    }
}

void aes_ctr_crypt(const struct aes_ctr *aes, const uint8_t counter[AES_CTR_BLOCK_BYTES],
                   uint32_t offset, const uint8_t *in, uint8_t *out, size_t len)
{
    uint32_t skip = offset % AES_CTR_BLOCK_BYTES;
    uint8_t next[AES_CTR_BLOCK_BYTES];
    uint8_t stream[AES_CTR_BLOCK_BYTES];

    memcpy(next, counter, sizeof next);
    count_up(next, offset / AES_CTR_BLOCK_BYTES);
    while (len > 0) {
        memcpy(stream, next, sizeof stream);
        encrypt_block(aes, stream);
        count_up(next, 1);
        for (; skip < sizeof stream && len > 0; skip++, len--) {
            *out++ = *in++ ^ stream[skip];
        }
        skip = 0;
    }
    crypto_wipe(stream, sizeof stream);
}

void aes_ctr_wipe(struct aes_ctr *aes)
{
    crypto_wipe(aes, sizeof *aes);
}
