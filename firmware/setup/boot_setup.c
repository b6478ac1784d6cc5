/* The board's slots, counters and keys. SPDX-License-Identifier: Apache-2.0 */
#include "boot_setup.h"

#include <stddef.h>

#include "boot_config.h"
#include "boot_decrypt.h"
#include "boot_swap.h"
#include "hal.h"
#include "monocypher.h"
#include "nv_keys.h"
#include "nv_kv.h"

static const struct boot_image_key keys[] = { BOOT_CONFIG_KEYS };
static const uint8_t vendor_id[16] = BOOT_CONFIG_VENDOR_ID;
static const uint8_t class_ids[BOOT_IMAGES][16] = BOOT_CONFIG_CLASS_IDS;

struct part {
    uint32_t offset; /* in the flash */
    uint32_t bytes;
};

static const struct part state = BOOT_CONFIG_STATE;
static const struct part storage = BOOT_CONFIG_STORAGE;
static uint8_t decrypt_key[NV_KEYS_DECRYPT_KEY_BYTES];
static const struct {
    uint32_t offset[BOOT_SLOTS];
    uint32_t bytes;
    uint32_t ram; /* BOOT_RAM: where the image runs */
    uint32_t ram_bytes;
    struct part counter;
} images[BOOT_IMAGES] = {
    { BOOT_CONFIG_APP_OFFSETS, BOOT_CONFIG_APP_BYTES, BOOT_CONFIG_APP_RAM,
      BOOT_CONFIG_APP_RAM_BYTES, BOOT_CONFIG_APP_COUNTER },
    { BOOT_CONFIG_CAPSULE_OFFSETS, BOOT_CONFIG_CAPSULE_BYTES, BOOT_CONFIG_CAPSULE_RAM,
      BOOT_CONFIG_CAPSULE_RAM_BYTES, BOOT_CONFIG_CAPSULE_COUNTER },
};

static struct nv_area area(uint32_t start, uint32_t bytes)
{
    return (struct nv_area){ .flash = hal.flash, .start = start, .bytes = bytes };
}

static void set_up(struct boot_unit *unit, uint32_t image)
{
    for (uint32_t i = 0; i < BOOT_SLOTS; i++) {
        struct boot_slot *const slot = &unit->slot[i];

        slot->area = area(images[image].offset[i], images[image].bytes);
#if BOOT_CONFIG_IS_MAPPED
        slot->address = BOOT_CONFIG_FLASH_BASE + images[image].offset[i];
        slot->mapped = (const uint8_t *)(uintptr_t)slot->address;
#else
        slot->address = 0;
        slot->mapped = NULL;
#endif
    }
    unit->counter_area = area(images[image].counter.offset, images[image].counter.bytes);
    unit->class_id = class_ids[image];
    unit->ram = (uint8_t *)(uintptr_t)images[image].ram;
    unit->ram_address = images[image].ram;
    unit->ram_bytes = images[image].ram_bytes;
}

void boot_setup(struct boot_config *config)
{
    *config = (struct boot_config){
        .image_count = BOOT_IMAGES,
        .state_area = area(state.offset, state.bytes),
        .endurance_cycles = BOOT_CONFIG_ENDURANCE_CYCLES,
        .keys = keys,
        .key_count = sizeof keys / sizeof keys[0],
        .vendor_id = vendor_id,
        .mode = BOOT_CONFIG_MODE,
        .takes_encrypted = BOOT_CONFIG_IS_ENCRYPTED,
    };
    for (uint32_t i = 0; i < BOOT_IMAGES; i++) {
        set_up(&config->unit[i], i);
    }
}

/* NULL: storage has none, or it cannot be read. */
static const uint8_t *read_decrypt_key(void)
{
    struct nv_kv kv = { .area = area(storage.offset, storage.bytes) };
    uint32_t len;

    if (nv_kv_mount(&kv)
        || nv_kv_get(&kv, NV_KEYS_DECRYPT_KEY, decrypt_key, sizeof decrypt_key, &len)
        || len != sizeof decrypt_key) {
        return NULL;
    }
    return decrypt_key;
}

/* Constants decide, so that a board links only what its profile asks for. */
void boot_setup_to_run(struct boot_config *config)
{
    boot_setup(config);
    if (BOOT_CONFIG_MODE == BOOT_SWAP) {
        config->swap = &boot_swap_slots;
    }
    if (BOOT_CONFIG_IS_ENCRYPTED) {
        config->decrypt = &boot_decrypt_x25519;
        config->decrypt_key = read_decrypt_key();
    }
}

void boot_setup_wipe(void)
{
    if (BOOT_CONFIG_IS_ENCRYPTED) {
        crypto_wipe(decrypt_key, sizeof decrypt_key);
    }
}
