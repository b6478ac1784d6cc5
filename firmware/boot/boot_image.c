/* Images in MCUboot's format: read out of flash, judged, judged again.
 * SPDX-License-Identifier: Apache-2.0 */
#include "boot_image.h"

#include <stddef.h>
#include <string.h>

#include "boot_signature.h"
#include "sha256.h"

#define SECTION_MAGIC 0x6907u
#define SECTION_MAGIC_PROTECTED 0x6908u
#define SECTION_BYTES 4u /* magic, bytes of the section with this */
#define TLV_BYTES 4u     /* type, length of what follows */
#define VENDOR_MIN 0xa0u
#define VENDOR_MAX 0xfffeu
#define CHUNK_BYTES 64u

#define FLAGS_KNOWN                                                                          \
    ((uint32_t)BOOT_IMAGE_AES128 | BOOT_IMAGE_AES256 | BOOT_IMAGE_RAM_LOAD                   \
     | BOOT_IMAGE_ROM_FIXED)
#define FLAGS_AES ((uint32_t)BOOT_IMAGE_AES128 | BOOT_IMAGE_AES256)

/* TLV types, as imgtool's TLV_VALUES has them. */
enum {
    TLV_KEYHASH = 0x01,
    TLV_SHA256 = 0x10,
    TLV_ENCX25519 = 0x33,
    TLV_DEPENDENCY = 0x40,
    TLV_SEC_CNT = 0x50,
    TLV_BOOT_RECORD = 0x60,
    TLV_UUID_VID = 0x74,
    TLV_UUID_CID = 0x75,
};

/* What each step adds to the flow; the last of each makes the sum what the header promises. */
#define FLOW_READ 0x11d4c3a9u
#define FLOW_HASH 0x0b72e65du
#define FLOW_KEY 0x2f918b34u
#define FLOW_SIGNATURE 0x4c6a17e2u
#define FLOW_RULES (BOOT_IMAGE_FLOW - FLOW_READ - FLOW_HASH - FLOW_KEY - FLOW_SIGNATURE)
#define REFLOW_HASH 0x51e8372bu
#define REFLOW_SIGNATURE 0x1d94a6c8u
#define REFLOW_RULES (BOOT_IMAGE_REFLOW - REFLOW_HASH - REFLOW_SIGNATURE)

static uint32_t load16(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t load32(const uint8_t *p)
{
    return load16(p) | load16(p + 2) << 16;
}

static struct boot_image_version load_version(const uint8_t *p)
{
    const struct boot_image_version version = {
        p[0], p[1], (uint16_t)load16(p + 2), load32(p + 4),
    };

    return version;
}

static int read_area(const struct boot_image_source *source, uint32_t offset, void *bytes,
                     uint32_t len)
{
    return nv_area_read(source->context, offset, bytes, len);
}

static int read_memory(const struct boot_image_source *source, uint32_t offset, void *bytes,
                       uint32_t len)
{
    if (offset > source->bytes || len > source->bytes - offset) {
        return FLASH_EBOUNDS;
    }
    memcpy(bytes, (const uint8_t *)source->context + offset, len);
    return 0;
}

struct boot_image_source boot_image_in_area(const struct nv_area *area, uint32_t bytes)
{
    return (struct boot_image_source){ read_area, area, bytes };
}

struct boot_image_source boot_image_in_memory(const uint8_t *memory, uint32_t bytes)
{
    return (struct boot_image_source){ read_memory, memory, bytes };
}

/* Every bit that differs is seen, however the loop is disturbed at one place. */
static uint32_t differences(const uint8_t *a, const uint8_t *b, uint32_t len)
{
    uint32_t bits = 0;
    uint32_t i;

    for (i = 0; i < len; i++) {
        bits |= (uint32_t)(a[i] ^ b[i]);
    }
    return bits | (i ^ len);
}

static enum boot_status decode_header(struct boot_image *image, uint32_t room)
{
    const uint8_t *h = image->header;

    if (load32(h) != BOOT_IMAGE_MAGIC) {
        return BOOT_EMPTY;
    }
    image->load_address = load32(h + 4);
    image->header_bytes = load16(h + 8);
    image->protected_bytes = load16(h + 10);
    image->payload_bytes = load32(h + 12);
    image->flags = load32(h + 16);
    image->version = load_version(h + 20);
    if (image->header_bytes < BOOT_IMAGE_HEADER_BYTES || image->header_bytes % 4 != 0
        || image->payload_bytes == 0 || (image->flags & ~FLAGS_KNOWN) != 0
        || (image->flags & FLAGS_AES) == FLAGS_AES) {
        return BOOT_EHEADER;
    }
    if (image->protected_bytes > BOOT_IMAGE_MAX_PROTECTED
        || (image->protected_bytes != 0 && image->protected_bytes <= SECTION_BYTES)) {
        return BOOT_ETLV;
    }
    if (image->header_bytes > room || image->payload_bytes > room - image->header_bytes) {
        return BOOT_ESIZE;
    }
    room -= image->header_bytes + image->payload_bytes;
    if (image->protected_bytes > room || SECTION_BYTES > room - image->protected_bytes) {
        return BOOT_ESIZE;
    }
    return BOOT_GOOD;
}

enum boot_status boot_image_read_header(struct boot_image *image,
                                        const struct boot_image_source *source, uint32_t room)
{
    memset(image, 0, sizeof *image);
    if (source->bytes < sizeof image->header) {
        return BOOT_EHEADER;
    }
    if (source->read(source, 0, image->header, sizeof image->header)) {
        return BOOT_EREAD;
    }
    return decode_header(image, room);
}

/* One TLV that has a place in struct boot_image. */
struct known {
    uint16_t type;
    uint8_t least; /* bytes */
    uint8_t most;
    uint16_t place;
};

#define PLACE(field) (uint16_t) offsetof(struct boot_image, field)

static const struct known in_protected[] = {
    { TLV_SEC_CNT, 4, 4, PLACE(counter) },
    { TLV_DEPENDENCY, 12, 12, PLACE(needs_image) },
    { TLV_UUID_VID, 16, 16, PLACE(vendor_id) },
    { TLV_UUID_CID, 16, 16, PLACE(class_id) },
};
static const struct known in_unprotected[] = {
    { TLV_KEYHASH, 32, 32, PLACE(key_hash) },
    { TLV_SHA256, 32, 32, PLACE(hash) },
    { BOOT_SIGNATURE_TLV, BOOT_SIGNATURE_MIN_TLV_BYTES, BOOT_SIGNATURE_MAX_TLV_BYTES,
      PLACE(signature) },
    { TLV_ENCX25519, 80, 96, PLACE(wrapped_key) }, /* the flags say which of the two */
};
#define KNOWN 4u
#define SEEN_SIGNED 7u /* key hash, SHA-256 and signature */

/* What may stand in the protected section without a meaning to this bootloader: the maker signed
 * it. Nothing may in the other one: no signature says who put it there. */
static int is_idle(uint32_t type)
{
    return type == TLV_BOOT_RECORD || (type >= VENDOR_MIN && type <= VENDOR_MAX);
}

static enum boot_status keep(struct boot_image *image, const struct known *tlv,
                             const uint8_t *value, uint32_t len)
{
    switch (tlv->type) {
    case TLV_SEC_CNT:
        image->counter = load32(value);
        break;
    case TLV_DEPENDENCY:
        image->needs_image = value[0];
        image->needs_version = load_version(value + 4);
        break;
    case TLV_ENCX25519:
        image->wrapped_bytes = len;
        memcpy(image->wrapped_key, value, len);
        break;
    case BOOT_SIGNATURE_TLV:
        return boot_signature_read(value, len, image->signature);
    default:
        memcpy((uint8_t *)image + tlv->place, value, len);
    }
    return BOOT_GOOD;
}

/* Walks the TLVs from `offset` to `end`, which lies in the source. *seen: bit i for known[i]. */
static enum boot_status walk(struct boot_image *image, const struct boot_image_source *source,
                             uint32_t offset, uint32_t end, const struct known *known,
                             uint32_t *seen)
{
    while (offset != end) {
        uint8_t bytes[96];

        if (end - offset < TLV_BYTES) {
            return BOOT_ETLV;
        }
        if (source->read(source, offset, bytes, TLV_BYTES)) {
            return BOOT_EREAD;
        }
        const uint32_t type = load16(bytes);
        const uint32_t len = load16(bytes + 2);
        uint32_t i = 0;

        offset += TLV_BYTES;
        if (len > end - offset) {
            return BOOT_ETLV;
        }
        while (i < KNOWN && known[i].type != type) {
            i++;
        }
        if (i == KNOWN && !(known == in_protected && is_idle(type))) {
            return BOOT_EUNPROTECTED;
        }
        if (i < KNOWN) {
            if (*seen >> i & 1) {
                return BOOT_EDUPLICATE;
            }
            *seen |= 1u << i;
            if (len < known[i].least || len > known[i].most) {
                return BOOT_ETLV;
            }
            if (source->read(source, offset, bytes, len)) {
                return BOOT_EREAD;
            }
            const enum boot_status status = keep(image, &known[i], bytes, len);

            if (status != BOOT_GOOD) {
                return status;
            }
        }
        offset += len;
    }
    return BOOT_GOOD;
}

static enum boot_status read_protected(struct boot_image *image,
                                       const struct boot_image_source *source, uint32_t offset,
                                       uint8_t section[BOOT_IMAGE_MAX_PROTECTED])
{
    const struct boot_image_source read_once =
        boot_image_in_memory(section, image->protected_bytes);
    uint32_t seen = 0;

    if (image->protected_bytes == 0) {
        return BOOT_GOOD;
    }
    if (source->read(source, offset, section, image->protected_bytes)) {
        return BOOT_EREAD;
    }
    if (load16(section) != SECTION_MAGIC_PROTECTED
        || load16(section + 2) != image->protected_bytes) {
        return BOOT_ETLV;
    }
    const enum boot_status status = walk(image, &read_once, SECTION_BYTES,
                                         image->protected_bytes, in_protected, &seen);

    image->has_vendor_id = seen >> 2 & 1;
    image->has_class_id = seen >> 3 & 1;
    return status;
}

static enum boot_status read_unprotected(struct boot_image *image,
                                         const struct boot_image_source *source,
                                         uint32_t offset)
{
    uint8_t section[SECTION_BYTES];
    uint32_t seen = 0;

    if (source->read(source, offset, section, sizeof section)) {
        return BOOT_EREAD;
    }
    const uint32_t bytes = load16(section + 2);

    if (load16(section) != SECTION_MAGIC || bytes < SECTION_BYTES
        || bytes > source->bytes - offset) {
        return BOOT_ETLV;
    }
    image->total_bytes = offset + bytes;
    const enum boot_status status = walk(image, source, offset + SECTION_BYTES,
                                         image->total_bytes, in_unprotected, &seen);

    if (status != BOOT_GOOD) {
        return status;
    }
    if ((seen & SEEN_SIGNED) != SEEN_SIGNED) {
        return BOOT_ESIGNATURE;
    }
    const uint32_t wrapped = image->flags & BOOT_IMAGE_AES128 ? 80
                             : image->flags & BOOT_IMAGE_AES256 ? 96 : 0;

    return image->wrapped_bytes == wrapped ? BOOT_GOOD : BOOT_ETLV;
}

static enum boot_status read_all(struct boot_image *image,
                                 const struct boot_image_source *source,
                                 uint8_t section[BOOT_IMAGE_MAX_PROTECTED])
{
    enum boot_status status = boot_image_read_header(image, source, source->bytes);

    image->needs_image = BOOT_IMAGE_NO_IMAGE;
    if (status != BOOT_GOOD) {
        return status;
    }
    const uint32_t tlvs = image->header_bytes + image->payload_bytes;

    status = read_protected(image, source, tlvs, section);
    if (status != BOOT_GOOD) {
        return status;
    }
    return read_unprotected(image, source, tlvs + image->protected_bytes);
}

enum boot_status boot_image_read(struct boot_image *image,
                                 const struct boot_image_source *source)
{
    uint8_t section[BOOT_IMAGE_MAX_PROTECTED];

    return read_all(image, source, section);
}

static enum boot_status hash_range(struct sha256 *hash, const struct boot_image_source *source,
                                   uint32_t from, uint32_t to)
{
    uint8_t chunk[CHUNK_BYTES];

    while (from < to) {
        const uint32_t len = to - from < sizeof chunk ? to - from : (uint32_t)sizeof chunk;

        if (source->read(source, from, chunk, len)) {
            return BOOT_EREAD;
        }
        sha256_update(hash, chunk, len);
        from += len;
    }
    return BOOT_GOOD;
}

static enum boot_status check_hash(const struct boot_image *image,
                                   const struct boot_image_source *plain,
                                   const uint8_t *section)
{
    struct sha256 hash;
    uint8_t digest[SHA256_BYTES];

    sha256_init(&hash);
    sha256_update(&hash, image->header, sizeof image->header);
    const enum boot_status status = hash_range(&hash, plain, sizeof image->header,
                                               image->header_bytes + image->payload_bytes);

    if (status != BOOT_GOOD) {
        return status;
    }
    sha256_update(&hash, section, image->protected_bytes);
    sha256_final(&hash, digest);
    return differences(digest, image->hash, sizeof digest) == 0 ? BOOT_GOOD : BOOT_EHASH;
}

/* Whether `key` is the one that the image names: by the SHA-256 of its SubjectPublicKeyInfo. */
static uint32_t is_named(const struct boot_image *image, const struct boot_image_key *key)
{
    struct sha256 hash;
    uint8_t digest[SHA256_BYTES];

    sha256_init(&hash);
    sha256_update(&hash, boot_signature_prefix, sizeof boot_signature_prefix);
    sha256_update(&hash, key->public_key, sizeof key->public_key);
    sha256_final(&hash, digest);
    return differences(digest, image->key_hash, sizeof digest) == 0;
}

enum boot_status boot_image_check_place(const struct boot_image *image,
                                        const struct boot_image_rules *rules)
{
    const uint32_t placed = image->flags & (BOOT_IMAGE_ROM_FIXED | BOOT_IMAGE_RAM_LOAD);

    if (placed != rules->flag && (rules->flag != 0 || placed != BOOT_IMAGE_ROM_FIXED)) {
        return BOOT_EADDRESS;
    }
    if (placed != 0 && image->load_address != rules->address) {
        return BOOT_EADDRESS;
    }
    return BOOT_GOOD;
}

enum boot_status boot_image_check_rules(const struct boot_image *image,
                                        const struct boot_image_rules *rules)
{
    const enum boot_status status = boot_image_check_place(image, rules);

    if (status != BOOT_GOOD) {
        return status;
    }
    if ((rules->vendor_id != 0) != (image->has_vendor_id != 0)
        || (rules->class_id != 0) != (image->has_class_id != 0)) {
        return BOOT_EBOARD;
    }
    if ((rules->vendor_id && differences(rules->vendor_id, image->vendor_id, 16))
        || (rules->class_id && differences(rules->class_id, image->class_id, 16))) {
        return BOOT_EBOARD;
    }
    return BOOT_GOOD;
}

/* Most of a slot, often: whole words in aligned pieces. */
static enum boot_status check_trailing(const struct boot_image *image,
                                       const struct boot_image_source *source)
{
    uint32_t words[4 * CHUNK_BYTES / sizeof(uint32_t)];

    for (uint32_t at = image->total_bytes; at < source->bytes;) {
        const uint32_t rest = source->bytes - at;
        uint32_t len = sizeof words - at % sizeof words;
        uint32_t ones = UINT32_MAX;

        len = rest < len ? rest : len;
        words[(len - 1) / sizeof words[0]] = UINT32_MAX; /* of which not all may be read */
        if (source->read(source, at, words, len)) {
            return BOOT_EREAD;
        }
        for (uint32_t i = (len - 1) / sizeof words[0] + 1; i-- > 0;) {
            ones &= words[i];
        }
        if (ones != UINT32_MAX) {
            return BOOT_ETRAILING;
        }
        at += len;
    }
    return BOOT_GOOD;
}

/* All that needs no payload but the signature; *key is the one that made it. */
static enum boot_status check_form(struct boot_image *image,
                                   const struct boot_image_source *source,
                                   const struct boot_image_rules *rules,
                                   uint8_t section[BOOT_IMAGE_MAX_PROTECTED],
                                   const struct boot_image_key **key, uint32_t *flow)
{
    enum boot_status status = read_all(image, source, section);

    if (status == BOOT_GOOD) {
        status = check_trailing(image, source);
    }
    if (status != BOOT_GOOD) {
        return status;
    }
    *flow += FLOW_READ;
    *key = 0;
    for (uint32_t i = 0; i < rules->key_count; i++) {
        if (is_named(image, &rules->keys[i])) {
            *key = &rules->keys[i];
        }
    }
    if (!*key) {
        return BOOT_EKEY;
    }
    *flow += FLOW_KEY;
    status = boot_image_check_rules(image, rules);
    if (status == BOOT_GOOD) {
        *flow += FLOW_RULES;
    }
    return status;
}

static enum boot_status check_signature(const struct boot_image *image,
                                        const struct boot_image_key *key)
{
    return boot_signature_check(key->public_key, image->hash, image->signature);
}

enum boot_status boot_image_check(struct boot_image *image,
                                  const struct boot_image_source *source,
                                  const struct boot_image_source *plain,
                                  const struct boot_image_rules *rules, uint32_t *flow)
{
    uint8_t section[BOOT_IMAGE_MAX_PROTECTED];
    const struct boot_image_key *key;
    enum boot_status status = check_form(image, source, rules, section, &key, flow);

    if (status != BOOT_GOOD) {
        return status;
    }
    status = check_hash(image, plain, section);
    if (status != BOOT_GOOD) {
        return status;
    }
    *flow += FLOW_HASH;
    status = check_signature(image, key);
    if (status == BOOT_GOOD) {
        *flow += FLOW_SIGNATURE;
    }
    return status;
}

enum boot_status boot_image_check_sealed(struct boot_image *image,
                                         const struct boot_image_source *source,
                                         const struct boot_image_rules *rules)
{
    uint8_t section[BOOT_IMAGE_MAX_PROTECTED];
    const struct boot_image_key *key;
    uint32_t flow = 0;
    const enum boot_status status = check_form(image, source, rules, section, &key, &flow);

    return status == BOOT_GOOD ? check_signature(image, key) : status;
}

enum boot_status boot_image_recheck(const struct boot_image *image,
                                    const struct boot_image_source *source,
                                    const struct boot_image_rules *rules, uint32_t *flow)
{
    struct boot_image again = { .needs_image = BOOT_IMAGE_NO_IMAGE };
    struct sha256 hash;
    uint8_t digest[SHA256_BYTES];
    enum boot_status status = BOOT_ECHANGED;

    sha256_init(&hash);
    if (hash_range(&hash, source, 0,
                   image->header_bytes + image->payload_bytes + image->protected_bytes)
            != BOOT_GOOD
        || source->read(source, 0, again.header, sizeof again.header)) {
        return BOOT_EREAD;
    }
    sha256_final(&hash, digest);
    /* The fields in RAM must still be what the signed header says. */
    if (decode_header(&again, source->bytes) != BOOT_GOOD
        || differences(again.header, image->header, sizeof again.header) != 0
        || again.load_address != image->load_address
        || again.header_bytes != image->header_bytes
        || again.payload_bytes != image->payload_bytes
        || again.protected_bytes != image->protected_bytes || again.flags != image->flags) {
        return BOOT_ECHANGED;
    }
    *flow += REFLOW_HASH;
    for (uint32_t i = rules->key_count; i-- > 0;) {
        /* The signature over the digest of what is there now: there is no comparison of hashes
         * to be glitched. */
        if (is_named(image, &rules->keys[i])
            && boot_signature_check(rules->keys[i].public_key, digest, image->signature)
                   == BOOT_GOOD) {
            *flow += REFLOW_SIGNATURE;
            status = BOOT_GOOD;
        }
    }
    if (boot_image_check_rules(image, rules) == BOOT_GOOD) {
        *flow += REFLOW_RULES;
        return status;
    }
    return BOOT_ECHANGED;
}

int boot_image_compare(const struct boot_image_version *a, const struct boot_image_version *b)
{
    const uint32_t high = (uint32_t)a->major << 24 | (uint32_t)a->minor << 16 | a->revision;
    const uint32_t low = (uint32_t)b->major << 24 | (uint32_t)b->minor << 16 | b->revision;

    return high < low ? -1 : high > low;
}
