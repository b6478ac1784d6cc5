/* HMAC-SHA-256 and HKDF. SPDX-License-Identifier: Apache-2.0 */
#include "hmac.h"

#include <string.h>

#include "monocypher.h"

static void pad_key(uint8_t key[SHA256_BLOCK_BYTES], uint8_t with)
{
    for (size_t i = 0; i < SHA256_BLOCK_BYTES; i++) {
        key[i] ^= with;
    }
}

void hmac_init(struct hmac *hmac, const void *key, size_t key_len)
{
    memset(hmac->key, 0, sizeof hmac->key);
    if (key_len > sizeof hmac->key) {
        sha256_init(&hmac->inner);
        sha256_update(&hmac->inner, key, key_len);
        sha256_final(&hmac->inner, hmac->key);
    } else if (key_len > 0) {
        memcpy(hmac->key, key, key_len);
    }
    pad_key(hmac->key, 0x36);
    sha256_init(&hmac->inner);
    sha256_update(&hmac->inner, hmac->key, sizeof hmac->key);
}

void hmac_update(struct hmac *hmac, const void *bytes, size_t len)
{
    sha256_update(&hmac->inner, bytes, len);
}

void hmac_final(struct hmac *hmac, uint8_t tag[SHA256_BYTES])
{
    sha256_final(&hmac->inner, tag);
    pad_key(hmac->key, 0x36 ^ 0x5c);
    sha256_init(&hmac->inner);
    sha256_update(&hmac->inner, hmac->key, sizeof hmac->key);
    sha256_update(&hmac->inner, tag, SHA256_BYTES);
    sha256_final(&hmac->inner, tag);
    crypto_wipe(hmac, sizeof *hmac);
}

int hmac_hkdf(const void *secret, size_t secret_len, const void *salt, size_t salt_len,
              const void *info, size_t info_len, uint8_t *out, size_t out_len)
{
    struct hmac hmac;
    uint8_t extracted[SHA256_BYTES];
    uint8_t block[SHA256_BYTES];

    if (out_len > 255 * SHA256_BYTES) {
        return -1;
    }
    /* A missing salt is a block of zeros, and so is an empty key: RFC 5869, 2.2. */
    hmac_init(&hmac, salt, salt_len);
    hmac_update(&hmac, secret, secret_len);
    hmac_final(&hmac, extracted);
    for (uint8_t counter = 1; out_len > 0; counter++) {
        const size_t part = out_len < sizeof block ? out_len : sizeof block;

        hmac_init(&hmac, extracted, sizeof extracted);
        if (counter > 1) {
            hmac_update(&hmac, block, sizeof block);
        }
        hmac_update(&hmac, info, info_len);
        hmac_update(&hmac, &counter, 1);
        hmac_final(&hmac, block);
        memcpy(out, block, part);
        out += part;
        out_len -= part;
    }
    crypto_wipe(extracted, sizeof extracted);
    crypto_wipe(block, sizeof block);
    return 0;
}
