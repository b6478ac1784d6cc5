/* How images are signed: with Ed25519, or with ECDSA over P-256 where the build says so
 * (-DBOOT_BUILD_ECDSA_P256=1). One build knows one of them. SPDX-License-Identifier: Apache-2.0 */
#ifndef BOOT_SIGNATURE_H
#define BOOT_SIGNATURE_H

#include <stdint.h>

#include "boot_status.h"

#ifndef BOOT_BUILD_ECDSA_P256
#define BOOT_BUILD_ECDSA_P256 0
#endif

#define BOOT_SIGNATURE_BYTES 64 /* as it is kept */
#define BOOT_SIGNATURE_DIGEST_BYTES 32

#if BOOT_BUILD_ECDSA_P256
#define BOOT_SIGNATURE_TLV 0x22u /* DER */
#define BOOT_SIGNATURE_MIN_TLV_BYTES 8
#define BOOT_SIGNATURE_MAX_TLV_BYTES 72
#define BOOT_SIGNATURE_KEY_BYTES 64 /* x, y */
#define BOOT_SIGNATURE_PREFIX_BYTES 27
#else
#define BOOT_SIGNATURE_TLV 0x24u
#define BOOT_SIGNATURE_MIN_TLV_BYTES 64
#define BOOT_SIGNATURE_MAX_TLV_BYTES 64
#define BOOT_SIGNATURE_KEY_BYTES 32
#define BOOT_SIGNATURE_PREFIX_BYTES 12
#endif

/* What stands before a public key in its SubjectPublicKeyInfo (RFC 8410, RFC 5480), whose SHA-256
 * names the key: that is what imgtool hashes. */
extern const uint8_t boot_signature_prefix[BOOT_SIGNATURE_PREFIX_BYTES];

/* The bytes of a TLV as they are kept; BOOT_ETLV if they are no signature. */
enum boot_status boot_signature_read(const uint8_t *tlv, uint32_t len,
                                     uint8_t signature[BOOT_SIGNATURE_BYTES]);

/* BOOT_GOOD or BOOT_ESIGNATURE. */
enum boot_status boot_signature_check(const uint8_t public_key[BOOT_SIGNATURE_KEY_BYTES],
                                      const uint8_t digest[BOOT_SIGNATURE_DIGEST_BYTES],
                                      const uint8_t signature[BOOT_SIGNATURE_BYTES]);

#endif
