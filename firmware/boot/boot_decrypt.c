/* Encrypted images, as imgtool makes them. SPDX-License-Identifier: Apache-2.0 */
#include "boot_decrypt.h"

#include <string.h>

#include "hmac.h"
#include "monocypher.h"

#define TAG_AT 32u
#define KEY_AT 64u

/* imgtool's ecies_hkdf(): HKDF-SHA-256 of the shared secret, no salt, gives the key that wraps
 * (as long as the wrapped one) and 32 bytes for the tag over what is wrapped. */
static const char info[] = "MCUBoot_ECIES_v1";
static const uint8_t block_0[AES_CTR_BLOCK_BYTES];
static const uint8_t no_secret[32];

static enum boot_status unwrap(struct aes_ctr *aes, const struct boot_image *image,
                               const uint8_t private_key[32])
{
    enum boot_status status = BOOT_EUNWRAP;
    uint8_t shared[32];
    uint8_t derived[32 + SHA256_BYTES];
    uint8_t tag[SHA256_BYTES];
    uint8_t key[32];
    struct hmac hmac;

    /* X25519 ignores the public key's last bit; no other image than the maker's is taken. */
    if ((image->wrapped_bytes != 80 && image->wrapped_bytes != 96)
        || (image->wrapped_key[31] & 0x80) != 0) {
        return BOOT_EUNWRAP;
    }
    const uint32_t key_bytes = image->wrapped_bytes - KEY_AT;

    crypto_x25519(shared, private_key, image->wrapped_key);
    (void)hmac_hkdf(shared, sizeof shared, 0, 0, info, sizeof info - 1, derived,
                    key_bytes + SHA256_BYTES);
    hmac_init(&hmac, derived + key_bytes, SHA256_BYTES);
    hmac_update(&hmac, image->wrapped_key + KEY_AT, key_bytes);
    hmac_final(&hmac, tag);
    /* A public key of low order: whoever chose it knows the secret without any key. */
    if (crypto_verify32(shared, no_secret) != 0
        && crypto_verify32(tag, image->wrapped_key + TAG_AT) == 0
        && aes_ctr_init(aes, derived, key_bytes) == 0) {
        aes_ctr_crypt(aes, block_0, 0, image->wrapped_key + KEY_AT, key, key_bytes);
        status = aes_ctr_init(aes, key, key_bytes) == 0 ? BOOT_GOOD : BOOT_EUNWRAP;
    }
    crypto_wipe(shared, sizeof shared);
    crypto_wipe(derived, sizeof derived);
    crypto_wipe(key, sizeof key);
    return status;
}

static void crypt(const struct aes_ctr *aes, const struct boot_image *image, uint32_t offset,
                  uint8_t *bytes, uint32_t len)
{
    const uint32_t from = image->header_bytes;
    const uint32_t to = from + image->payload_bytes;
    const uint32_t skip = offset < from ? from - offset : 0;

    if (offset >= to || skip >= len) {
        return;
    }
    offset += skip;
    len -= skip;
    aes_ctr_crypt(aes, block_0, offset - from, bytes + skip, bytes + skip,
                  len < to - offset ? len : to - offset);
}

const struct boot_decrypt boot_decrypt_x25519 = { unwrap, crypt };
