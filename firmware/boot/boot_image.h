/* Images in MCUboot's format: read out of flash, judged, judged again.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Every byte of a slot is hostile until boot_image_check() and boot_image_recheck() said
 * BOOT_GOOD. Header and TLVs are read once: what was hashed is what was parsed. The image's
 * numbers are used from struct boot_image only, never from the flash again. */
#ifndef BOOT_IMAGE_H
#define BOOT_IMAGE_H

#include <stdint.h>

#include "boot_signature.h"
#include "boot_status.h"
#include "nv_area.h"

#define BOOT_IMAGE_MAGIC 0x96f3b83du
#define BOOT_IMAGE_HEADER_BYTES 32
#define BOOT_IMAGE_MAX_PROTECTED 256 /* bytes of the protected TLV section, with its header */
#define BOOT_IMAGE_NO_IMAGE 0xffu

/* Of the header's flags, those that have a meaning here; any other is refused. */
enum {
    BOOT_IMAGE_AES128 = 0x4,
    BOOT_IMAGE_AES256 = 0x8,
    BOOT_IMAGE_RAM_LOAD = 0x20,
    BOOT_IMAGE_ROM_FIXED = 0x100,
};

struct boot_image_version {
    uint8_t major;
    uint8_t minor;
    uint16_t revision;
    uint32_t build;
};

/* What one image says of itself. */
struct boot_image {
    uint32_t load_address; /* the header's fields; what is used often comes first */
    uint32_t header_bytes;
    uint32_t payload_bytes;
    uint32_t protected_bytes; /* of the protected TLV section; 0: there is none */
    uint32_t total_bytes;     /* up to the end of the last TLV */
    uint32_t wrapped_bytes;   /* of wrapped_key; 0: not encrypted */
    uint32_t flags;
    struct boot_image_version version;
    uint8_t header[BOOT_IMAGE_HEADER_BYTES]; /* as read */

    /* From the protected TLVs. */
    uint32_t counter;       /* security counter; 0 if the image has none */
    uint8_t needs_image;    /* the image it depends on, or BOOT_IMAGE_NO_IMAGE */
    uint8_t has_vendor_id;
    uint8_t has_class_id;
    struct boot_image_version needs_version; /* at least this one */
    uint8_t vendor_id[16];
    uint8_t class_id[16];

    /* From the TLVs that the signature does not cover: each proves itself. */
    uint8_t hash[32];
    uint8_t key_hash[32];
    uint8_t signature[BOOT_SIGNATURE_BYTES];
    uint8_t wrapped_key[96]; /* ephemeral public key, tag, key: 32 + 32 + 16 or 32 bytes */
};

struct boot_image_key {
    uint8_t public_key[BOOT_SIGNATURE_KEY_BYTES];
};

/* What an image must satisfy besides being whole and signed. */
struct boot_image_rules {
    const struct boot_image_key *keys;
    uint32_t key_count;
    const uint8_t *vendor_id; /* 16 bytes; NULL: the image must not name one */
    const uint8_t *class_id;  /* likewise; tells boards and their two images apart */
    uint32_t address;         /* where the slot will be executed */
    uint32_t flag;            /* ROM_FIXED or RAM_LOAD: must be set; 0: ROM_FIXED may be */
};

/* Where the bytes come from after the header: lets a caller look at an image that is being
 * moved, decrypted or already in RAM. Returns 0 or an error of flash.h. */
struct boot_image_source {
    int (*read)(const struct boot_image_source *source, uint32_t offset, void *bytes,
                uint32_t len);
    const void *context;
    uint32_t bytes; /* room for an image */
};

/* Source of a slot as it lies in flash. */
struct boot_image_source boot_image_in_area(const struct nv_area *area, uint32_t bytes);

/* Source of bytes in memory. */
struct boot_image_source boot_image_in_memory(const uint8_t *memory, uint32_t bytes);

/* Reads header and TLVs. Nothing is verified but their form. */
enum boot_status boot_image_read(struct boot_image *image,
                                 const struct boot_image_source *source);

/* Only the header, of an image that is yet to come and may take `room` bytes with its TLVs. */
enum boot_status boot_image_read_header(struct boot_image *image,
                                        const struct boot_image_source *source, uint32_t room);

/* Whether the header of an image that was read says it is linked for this place. */
enum boot_status boot_image_check_place(const struct boot_image *image,
                                        const struct boot_image_rules *rules);

/* The same, and whether its TLVs say it is for this board. */
enum boot_status boot_image_check_rules(const struct boot_image *image,
                                        const struct boot_image_rules *rules);

/* Adds what a step is worth to *flow: BOOT_IMAGE_FLOW in all when everything was done. */
#define BOOT_IMAGE_FLOW 0x39c5a1e7u

/* boot_image_read(), then SHA-256, key, signature, rules. `plain` gives the payload and TLVs as
 * they were signed, that is decrypted; for a plain image it is `source` again. */
enum boot_status boot_image_check(struct boot_image *image,
                                  const struct boot_image_source *source,
                                  const struct boot_image_source *plain,
                                  const struct boot_image_rules *rules, uint32_t *flow);

/* The same of an encrypted image without its key, so without the payload's hash: what it says is
 * signed, what it holds may be anything. For an application, to tell; it counts no flow, and no
 * bootloader links it. */
enum boot_status boot_image_check_sealed(struct boot_image *image,
                                         const struct boot_image_source *source,
                                         const struct boot_image_rules *rules);

/* The second opinion, with code of its own: hashes what `source` holds now, header and protected
 * TLVs from where they lie, and compares with what the signature covers; then verifies the
 * signature again. */
#define BOOT_IMAGE_REFLOW 0x6b3d90f5u
enum boot_status boot_image_recheck(const struct boot_image *image,
                                    const struct boot_image_source *source,
                                    const struct boot_image_rules *rules, uint32_t *flow);

/* -1, 0, 1: as versions are ordered; the build number does not count, as in MCUboot. */
int boot_image_compare(const struct boot_image_version *a, const struct boot_image_version *b);

#endif
