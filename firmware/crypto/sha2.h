/* What SHA-256 and SHA-512 share (FIPS 180-4). SPDX-License-Identifier: Apache-2.0
 *
 * Both take their constants from the same roots, SHA-256 the first 32 bits, SHA-512 64, and fill
 * and pad their blocks alike. */
#ifndef SHA2_H
#define SHA2_H

#include <stddef.h>
#include <stdint.h>

extern const uint64_t sha2_round_constants[80]; /* SHA-256 uses the first 64 */
extern const uint64_t sha2_initial_state[8];

/* One of the two. Its struct has the state, half as large as a block; then the bytes so far, 64
 * bits; then a block. */
struct sha2_form {
    size_t block_bytes;
    void (*compress)(void *state, const uint8_t *block);
};

void sha2_update(const struct sha2_form *form, void *hash, const void *bytes, size_t len);

/* Ends the message: padding, length. The state is the digest, then. */
void sha2_end(const struct sha2_form *form, void *hash);

#endif
