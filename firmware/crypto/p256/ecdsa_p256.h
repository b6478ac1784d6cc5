/* ECDSA over P-256 (FIPS 186-5), verification only, on p256-m's arithmetic.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ECDSA_P256_H
#define ECDSA_P256_H

#include <stddef.h>
#include <stdint.h>

#define ECDSA_P256_PUBLIC_BYTES 64 /* x, then y, big endian */
#define ECDSA_P256_DIGEST_BYTES 32
#define ECDSA_P256_SIGNATURE_BYTES 64 /* r, then s, big endian */
#define ECDSA_P256_MIN_DER_BYTES 8
#define ECDSA_P256_MAX_DER_BYTES 72

/* Neither value is what a glitched register holds. */
enum ecdsa_p256_verdict {
    ECDSA_P256_BAD = 0x3c96a52d,
    ECDSA_P256_GOOD = 0x43695ad2,
};

/* r and s out of DER, SEQUENCE { INTEGER, INTEGER }. Everything may be hostile; there is one
 * encoding of a signature, and any other is refused. 0 or -1; then nothing is promised of
 * `signature`. */
int ecdsa_p256_decode(const uint8_t *der, size_t len,
                      uint8_t signature[ECDSA_P256_SIGNATURE_BYTES]);

/* Digest, signature and key may all be hostile: r and s must be from 1 to the group's order - 1,
 * the key a point of the curve. (r, s) and (r, order - s) are both good, as the standard has it. */
enum ecdsa_p256_verdict ecdsa_p256_check(const uint8_t public_key[ECDSA_P256_PUBLIC_BYTES],
                                         const uint8_t digest[ECDSA_P256_DIGEST_BYTES],
                                         const uint8_t signature[ECDSA_P256_SIGNATURE_BYTES]);

#endif
