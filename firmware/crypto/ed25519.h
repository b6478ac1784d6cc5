/* Ed25519 (RFC 8032) on Monocypher's curve arithmetic. SPDX-License-Identifier: Apache-2.0 */
#ifndef ED25519_H
#define ED25519_H

#include <stddef.h>
#include <stdint.h>

#define ED25519_SEED_BYTES 32
#define ED25519_PUBLIC_BYTES 32
#define ED25519_SIGNATURE_BYTES 64

/* Neither value is what a glitched register holds. */
enum ed25519_verdict {
    ED25519_BAD = 0x2d96a53c,
    ED25519_GOOD = 0x5269c3a6,
};

/* The public key of a 32-byte secret seed. */
void ed25519_public(const uint8_t seed[ED25519_SEED_BYTES],
                    uint8_t public_key[ED25519_PUBLIC_BYTES]);

void ed25519_sign(const uint8_t seed[ED25519_SEED_BYTES], const void *message, size_t len,
                  uint8_t signature[ED25519_SIGNATURE_BYTES]);

/* Message, signature and key may all be hostile. S must be below the group's order, and key and
 * R must be canonical points: no second signature can be made from a first. */
enum ed25519_verdict ed25519_check(const uint8_t public_key[ED25519_PUBLIC_BYTES],
                                   const void *message, size_t len,
                                   const uint8_t signature[ED25519_SIGNATURE_BYTES]);

#endif
