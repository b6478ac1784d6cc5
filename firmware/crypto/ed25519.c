/* Ed25519 (RFC 8032). Monocypher's own EdDSA hashes with BLAKE2b; this puts SHA-512 in its place.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ed25519.h"

#include <string.h>

#include "monocypher.h"
#include "sha512.h"

/* SHA-512 over up to three parts, reduced modulo the group's order. */
static void hash_to_scalar(uint8_t scalar[32], const void *a, size_t a_len, const void *b,
                           size_t b_len, const void *message, size_t len)
{
    struct sha512 hash;
    uint8_t digest[SHA512_BYTES];

    sha512_init(&hash);
    sha512_update(&hash, a, a_len);
    sha512_update(&hash, b, b_len);
    sha512_update(&hash, message, len);
    sha512_final(&hash, digest);
    crypto_eddsa_reduce(scalar, digest);
    crypto_wipe(&hash, sizeof hash);
    crypto_wipe(digest, sizeof digest);
}

/* RFC 8032, 5.1.5: the seed's hash is scalar (trimmed) and prefix. */
static void expand(const uint8_t seed[ED25519_SEED_BYTES], uint8_t expanded[SHA512_BYTES])
{
    struct sha512 hash;

    sha512_init(&hash);
    sha512_update(&hash, seed, ED25519_SEED_BYTES);
    sha512_final(&hash, expanded);
    crypto_eddsa_trim_scalar(expanded, expanded);
    crypto_wipe(&hash, sizeof hash);
}

void ed25519_public(const uint8_t seed[ED25519_SEED_BYTES],
                    uint8_t public_key[ED25519_PUBLIC_BYTES])
{
    uint8_t expanded[SHA512_BYTES];

    expand(seed, expanded);
    crypto_eddsa_scalarbase(public_key, expanded);
    crypto_wipe(expanded, sizeof expanded);
}

void ed25519_sign(const uint8_t seed[ED25519_SEED_BYTES], const void *message, size_t len,
                  uint8_t signature[ED25519_SIGNATURE_BYTES])
{
    uint8_t expanded[SHA512_BYTES];
    uint8_t public_key[ED25519_PUBLIC_BYTES];
    uint8_t nonce[32];
    uint8_t challenge[32];

    expand(seed, expanded);
    crypto_eddsa_scalarbase(public_key, expanded);
    hash_to_scalar(nonce, expanded + 32, 32, NULL, 0, message, len);
    crypto_eddsa_scalarbase(signature, nonce);
    hash_to_scalar(challenge, signature, 32, public_key, sizeof public_key, message, len);
    crypto_eddsa_mul_add(signature + 32, challenge, expanded, nonce);
    crypto_wipe(expanded, sizeof expanded);
    crypto_wipe(nonce, sizeof nonce);
}

/* RFC 8032, 5.1.3: y is below p = 2^255 - 19, and x = 0, which y = 1 and y = -1 have, is not
 * negative. Monocypher takes the other encodings, too; one point shall have one. Public data:
 * branches may tell. */
static int is_canonical(const uint8_t point[32])
{
    const int is_negative = point[31] >> 7;
    const int top = point[31] & 0x7f;
    int all = top | 0x80; /* ones in every byte from 1 up? */
    int any = top;        /* or in one of them? */

    for (int i = 1; i < 31; i++) {
        all &= point[i];
        any |= point[i];
    }
    if (all == 0xff && point[0] >= 0xec) {
        return point[0] == 0xec && !is_negative; /* -1, or p and above */
    }
    return !(any == 0 && point[0] == 1 && is_negative);
}

enum ed25519_verdict ed25519_check(const uint8_t public_key[ED25519_PUBLIC_BYTES],
                                   const void *message, size_t len,
                                   const uint8_t signature[ED25519_SIGNATURE_BYTES])
{
    uint8_t challenge[32];

    if (!is_canonical(public_key) || !is_canonical(signature)) {
        return ED25519_BAD;
    }
    hash_to_scalar(challenge, signature, 32, public_key, ED25519_PUBLIC_BYTES, message, len);
    return crypto_eddsa_check_equation(signature, public_key, challenge) == 0 ? ED25519_GOOD
                                                                              : ED25519_BAD;
}
