/* ECDSA over P-256 (FIPS 186-5), verification only, on p256-m's arithmetic.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ecdsa_p256.h"

#include <string.h>

#include "p256-m.h"

#define TAG_INTEGER 0x02
#define TAG_SEQUENCE 0x30
#define SCALAR_BYTES 32u

/* One INTEGER at der[*at] into 32 bytes. X.690, 8.3: as few bytes as it takes, a zero in front of
 * a first bit that is set. */
static int decode_integer(const uint8_t *der, size_t len, size_t *at,
                          uint8_t scalar[SCALAR_BYTES])
{
    if (len - *at < 3 || der[*at] != TAG_INTEGER) {
        return -1;
    }
    size_t bytes = der[*at + 1];
    const uint8_t *p = der + *at + 2;

    if (bytes == 0 || bytes > len - *at - 2 || p[0] & 0x80) {
        return -1; /* negative, or past the end */
    }
    *at += 2 + bytes;
    if (p[0] == 0 && bytes > 1) {
        p++;
        bytes--;
        if (!(p[0] & 0x80)) {
            return -1;
        }
    }
    if (bytes > SCALAR_BYTES) {
        return -1;
    }
    memset(scalar, 0, SCALAR_BYTES - bytes);
    memcpy(scalar + SCALAR_BYTES - bytes, p, bytes);
    return 0;
}

int ecdsa_p256_decode(const uint8_t *der, size_t len,
                      uint8_t signature[ECDSA_P256_SIGNATURE_BYTES])
{
    size_t at = 2;

    if (len < ECDSA_P256_MIN_DER_BYTES || len > ECDSA_P256_MAX_DER_BYTES
        || der[0] != TAG_SEQUENCE || der[1] != len - 2
        || decode_integer(der, len, &at, signature)
        || decode_integer(der, len, &at, signature + SCALAR_BYTES)) {
        return -1;
    }
    return at == len ? 0 : -1;
}

enum ecdsa_p256_verdict ecdsa_p256_check(const uint8_t public_key[ECDSA_P256_PUBLIC_BYTES],
                                         const uint8_t digest[ECDSA_P256_DIGEST_BYTES],
                                         const uint8_t signature[ECDSA_P256_SIGNATURE_BYTES])
{
    return p256_ecdsa_verify(signature, public_key, digest, ECDSA_P256_DIGEST_BYTES)
                   == P256_SUCCESS
               ? ECDSA_P256_GOOD
               : ECDSA_P256_BAD;
}
