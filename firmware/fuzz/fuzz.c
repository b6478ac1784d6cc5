/* What reads hostile flash, under libFuzzer. SPDX-License-Identifier: Apache-2.0
 *
 * The first byte picks the reader: images, or the key-value store that provisioning writes. */
#include <string.h>

#include "boot_image.h"
#include "boot_trailer.h"
#include "flash_sim.h"
#include "nv_kv.h"

#define ERASE_BYTES 256u
#define SECTORS 8u
#define UNIT 4u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_image(const uint8_t *data, uint32_t size)
{
    static const struct boot_image_key key = { { 1 } };
    const struct boot_image_source source = boot_image_in_memory(data, size);
    const struct boot_image_rules rules = { .keys = &key, .key_count = 1 };
    struct boot_image image;
    uint32_t flow = 0;

    if (boot_image_read(&image, &source) == BOOT_GOOD) {
        /* What the parser lets through lies inside of what it was given. */
        if (image.total_bytes > size || image.header_bytes > size
            || image.payload_bytes > size - image.header_bytes) {
            __builtin_trap();
        }
    }
    if (boot_image_check(&image, &source, &source, &rules, &flow) == BOOT_GOOD
        || flow == BOOT_IMAGE_FLOW) {
        __builtin_trap(); /* nobody has that key's secret half */
    }
}

static void fuzz_kv(const uint8_t *data, uint32_t size)
{
    struct nv_kv kv = { .area = { &flash_sim, 0, SECTORS * ERASE_BYTES } };
    uint8_t value[64];

    if (flash_sim.bytes == 0) {
        flash_sim_configure(SECTORS * ERASE_BYTES, ERASE_BYTES, UNIT);
    }
    flash_sim_erase_all();
    for (uint32_t at = 0; at + UNIT <= size && at < flash_sim.bytes; at += UNIT) {
        if (memcmp(data + at, "\xff\xff\xff\xff", UNIT) != 0) {
            flash_sim.program(at, data + at, UNIT);
        }
    }
    if (nv_kv_mount(&kv) == 0) {
        for (uint16_t key = 0; key < 8; key++) {
            uint32_t len = 0;

            if (nv_kv_get(&kv, key, value, sizeof value, &len) == 0 && len != NV_KV_ABSENT
                && len > sizeof value) {
                __builtin_trap();
            }
        }
        (void)nv_kv_set(&kv, 3, "tinyseal", 8);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 1 && size < 0x10000) {
        (data[0] & 1 ? fuzz_kv : fuzz_image)(data + 1, (uint32_t)size - 1);
    }
    return 0;
}
