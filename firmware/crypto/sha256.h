/* SHA-256 (FIPS 180-4), in pieces. SPDX-License-Identifier: Apache-2.0
 *
 * No table is indexed and no branch is taken by data: time depends on lengths alone. */
#ifndef SHA256_H
#define SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32
#define SHA256_BLOCK_BYTES 64

struct sha256 {
    uint32_t state[8];
    uint64_t len;                      /* bytes so far */
    uint8_t block[SHA256_BLOCK_BYTES]; /* len % SHA256_BLOCK_BYTES of them are filled */
};

void sha256_init(struct sha256 *hash);

/* Any number of calls, any lengths; together less than 2^61 bytes. */
void sha256_update(struct sha256 *hash, const void *bytes, size_t len);

/* Ends the hash; `hash` must be started again before another use. */
void sha256_final(struct sha256 *hash, uint8_t digest[SHA256_BYTES]);

#endif
