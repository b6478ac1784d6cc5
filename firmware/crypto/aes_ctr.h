/* AES in counter mode (FIPS 197, SP 800-38A), keys of 128 or 256 bits.
 * SPDX-License-Identifier: Apache-2.0
 *
 * The substitution box is computed, four bytes at a time, and never looked up: neither time nor
 * memory accesses depend on key or data. That costs about 14,000 instructions a block, which an
 * image pays once, when it is installed. */
#ifndef AES_CTR_H
#define AES_CTR_H

#include <stddef.h>
#include <stdint.h>

#define AES_CTR_BLOCK_BYTES 16
#define AES_CTR_MAX_ROUNDS 14

struct aes_ctr {
    uint32_t round_keys[4 * (AES_CTR_MAX_ROUNDS + 1)];
    uint32_t rounds;
};

/* key_len is 16 or 32 bytes; anything else returns -1. */
int aes_ctr_init(struct aes_ctr *aes, const uint8_t *key, size_t key_len);

/* Encrypts or decrypts `len` bytes that lie `offset` bytes into the message; in == out is fine.
 * counter: the 16-byte block of offset 0, counted up as a big-endian number. The same counter
 * must never serve two messages under one key: that reveals both. */
void aes_ctr_crypt(const struct aes_ctr *aes, const uint8_t counter[AES_CTR_BLOCK_BYTES],
                   uint32_t offset, const uint8_t *in, uint8_t *out, size_t len);

void aes_ctr_wipe(struct aes_ctr *aes);

#endif
