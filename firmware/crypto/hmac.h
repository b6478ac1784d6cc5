/* HMAC-SHA-256 (RFC 2104) and HKDF over it (RFC 5869). SPDX-License-Identifier: Apache-2.0 */
#ifndef HMAC_H
#define HMAC_H

#include <stddef.h>
#include <stdint.h>

#include "sha256.h"

struct hmac {
    struct sha256 inner;
    uint8_t key[SHA256_BLOCK_BYTES];
};

/* key: any length; longer than a block it is hashed first. */
void hmac_init(struct hmac *hmac, const void *key, size_t key_len);
void hmac_update(struct hmac *hmac, const void *bytes, size_t len);

/* Ends the code and wipes the key. */
void hmac_final(struct hmac *hmac, uint8_t tag[SHA256_BYTES]);

/* Extract and expand in one. out_len at most 255 * SHA256_BYTES, else -1 and nothing written.
 * An absent salt is salt_len 0. */
int hmac_hkdf(const void *secret, size_t secret_len, const void *salt, size_t salt_len,
              const void *info, size_t info_len, uint8_t *out, size_t out_len);

#endif
