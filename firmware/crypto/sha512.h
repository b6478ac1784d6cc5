/* SHA-512 (FIPS 180-4), in pieces. SPDX-License-Identifier: Apache-2.0
 *
 * No table is indexed and no branch is taken by data: time depends on lengths alone. */
#ifndef SHA512_H
#define SHA512_H

#include <stddef.h>
#include <stdint.h>

#define SHA512_BYTES 64
#define SHA512_BLOCK_BYTES 128

struct sha512 {
    uint64_t state[8];
    uint64_t len;                      /* bytes so far */
    uint8_t block[SHA512_BLOCK_BYTES]; /* len % SHA512_BLOCK_BYTES of them are filled */
};

void sha512_init(struct sha512 *hash);

/* Any number of calls, any lengths; together less than 2^61 bytes. */
void sha512_update(struct sha512 *hash, const void *bytes, size_t len);

/* Ends the hash; `hash` must be started again before another use. */
void sha512_final(struct sha512 *hash, uint8_t digest[SHA512_BYTES]);

#endif
