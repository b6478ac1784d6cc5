/* Encrypted images, as imgtool makes them. SPDX-License-Identifier: Apache-2.0
 *
 * ENCX25519: the image's AES key under an ephemeral X25519 key, HKDF-SHA-256 and
 * HMAC-SHA-256; header and TLVs are plain, the payload is AES-CTR from block 0. */
#ifndef BOOT_DECRYPT_H
#define BOOT_DECRYPT_H

#include <stdint.h>

#include "aes_ctr.h"
#include "boot_image.h"

/* Linked only where a board's configuration names one. */
struct boot_decrypt {
    /* BOOT_GOOD: `aes` holds the image's key. */
    enum boot_status (*unwrap)(struct aes_ctr *aes, const struct boot_image *image,
                               const uint8_t private_key[32]);

    /* Decrypts what part of `bytes`, read at `offset` of the image, is payload. */
    void (*crypt)(const struct aes_ctr *aes, const struct boot_image *image, uint32_t offset,
                  uint8_t *bytes, uint32_t len);
};

extern const struct boot_decrypt boot_decrypt_x25519;

#endif
