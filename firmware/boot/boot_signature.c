/* How images are signed: with Ed25519, or with ECDSA over P-256. SPDX-License-Identifier: Apache-2.0 */
#include "boot_signature.h"

#include <string.h>

#if BOOT_BUILD_ECDSA_P256
#include "ecdsa_p256.h"

const uint8_t boot_signature_prefix[BOOT_SIGNATURE_PREFIX_BYTES] = {
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
    0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
};

enum boot_status boot_signature_read(const uint8_t *tlv, uint32_t len,
                                     uint8_t signature[BOOT_SIGNATURE_BYTES])
{
    return ecdsa_p256_decode(tlv, len, signature) ? BOOT_ETLV : BOOT_GOOD;
}

enum boot_status boot_signature_check(const uint8_t public_key[BOOT_SIGNATURE_KEY_BYTES],
                                      const uint8_t digest[BOOT_SIGNATURE_DIGEST_BYTES],
                                      const uint8_t signature[BOOT_SIGNATURE_BYTES])
{
    return ecdsa_p256_check(public_key, digest, signature) == ECDSA_P256_GOOD
               ? BOOT_GOOD
               : BOOT_ESIGNATURE;
}

#else
#include "ed25519.h"

const uint8_t boot_signature_prefix[BOOT_SIGNATURE_PREFIX_BYTES] = {
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
};

enum boot_status boot_signature_read(const uint8_t *tlv, uint32_t len,
                                     uint8_t signature[BOOT_SIGNATURE_BYTES])
{
    memcpy(signature, tlv, len);
    return BOOT_GOOD;
}

enum boot_status boot_signature_check(const uint8_t public_key[BOOT_SIGNATURE_KEY_BYTES],
                                      const uint8_t digest[BOOT_SIGNATURE_DIGEST_BYTES],
                                      const uint8_t signature[BOOT_SIGNATURE_BYTES])
{
    return ed25519_check(public_key, digest, BOOT_SIGNATURE_DIGEST_BYTES, signature)
                   == ED25519_GOOD
               ? BOOT_GOOD
               : BOOT_ESIGNATURE;
}

#endif
