/* A board as the boot library is told of it: images, slots, keys. SPDX-License-Identifier: Apache-2.0 */
#ifndef BOOT_BOARD_H
#define BOOT_BOARD_H

#include <stdint.h>

#include "boot_image.h"
#include "nv_area.h"

enum { BOOT_APP = 0, BOOT_CAPSULE = 1, BOOT_IMAGES = 2, BOOT_SLOTS = 2 };

#define BOOT_NO_SLOT 0xffu

enum boot_mode {
    BOOT_XIP = 0x36c95a63,  /* run in place from either slot; ROM_FIXED says which */
    BOOT_SWAP = 0x59a6c336, /* run in place from slot 0, swapped with slot 1 */
    BOOT_RAM = 0x6339ac95,  /* copied from either slot to RAM, verified there, run there */
};

struct boot_slot {
    struct nv_area area;
    uint32_t address;      /* where the processor sees it; what ROM_FIXED must say */
    const uint8_t *mapped; /* the same as a pointer, for the second look; NULL: not mapped */
};

struct boot_unit {
    struct boot_slot slot[BOOT_SLOTS]; /* of one size */
    struct nv_area counter_area;       /* security counter: two erase units or more */
    const uint8_t *class_id;           /* 16 bytes that images must carry (UUID_CID), or NULL */
    uint8_t *ram;                      /* BOOT_RAM: where to; RAM_LOAD must say ram_address */
    uint32_t ram_address;
    uint32_t ram_bytes;
};

struct boot_decrypt;
struct boot_swap;

struct boot_config {
    uint32_t image_count; /* 1: there is no capsule image on this board */
    struct nv_area state_area;
    uint32_t endurance_cycles;
    const struct boot_image_key *keys;
    uint32_t key_count;
    const uint8_t *vendor_id;           /* 16 bytes (UUID_VID), or NULL */
    const struct boot_decrypt *decrypt; /* &boot_decrypt_x25519, or NULL: none is accepted */
    const uint8_t *decrypt_key;         /* 32 bytes, X25519; NULL: there is none */
    const struct boot_swap *swap;       /* &boot_swap_slots with BOOT_SWAP, else NULL */
    enum boot_mode mode;
    uint32_t takes_encrypted; /* 1: the bootloader decrypts; for an application, which does not */
    uint32_t allow_downgrade; /* 1: an older version with the same security counter may boot */
    struct boot_unit unit[BOOT_IMAGES];
};

/* A build for one board may know its mode, and whether its images may be encrypted
 * (-DBOOT_BUILD_MODE=BOOT_XIP -DBOOT_BUILD_DECRYPTS=0): what the others need falls away. Without,
 * the configuration decides. */
static inline enum boot_mode boot_mode(const struct boot_config *config)
{
#ifdef BOOT_BUILD_MODE
    (void)config;
    return BOOT_BUILD_MODE;
#else
    return config->mode;
#endif
}

static inline const struct boot_decrypt *boot_decrypt(const struct boot_config *config)
{
#if defined(BOOT_BUILD_DECRYPTS) && !BOOT_BUILD_DECRYPTS
    (void)config;
    return 0;
#else
    return config->decrypt;
#endif
}

#endif
