/* What reads hostile flash, and patches, under libFuzzer. SPDX-License-Identifier: Apache-2.0
 *
 * The first byte picks the reader: images, the key-value store that provisioning writes, patches,
 * vouchers and the records of prepaid queries, or consents and logs of statistics. */
#include <string.h>

#include "boot_image.h"
#include "boot_trailer.h"
#include "delta.h"
#include "flash_sim.h"
#include "fuzz_meter.h"
#include "fuzz_telemetry.h"
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

static void start_over(void)
{
    if (flash_sim.bytes == 0) {
        flash_sim_configure(SECTORS * ERASE_BYTES, ERASE_BYTES, UNIT);
    }
    flash_sim_erase_all();
}

static void fuzz_kv(const uint8_t *data, uint32_t size)
{
    struct nv_kv kv = { .area = { &flash_sim, 0, SECTORS * ERASE_BYTES } };
    uint8_t value[64];

    start_over();
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

/* The old image is in the first two erase units, the slot between the two that follow and the
 * last one. */
static void fuzz_delta(const uint8_t *data, uint32_t size)
{
    static struct delta delta;
    const struct nv_area old = { &flash_sim, 0, 2 * ERASE_BYTES };
    const struct nv_area slot = { &flash_sim, 4 * ERASE_BYTES, (SECTORS - 5) * ERASE_BYTES };
    struct delta_header header;
    uint8_t word[UNIT];
    int state = DELTA_BUSY;

    if (size < DELTA_HEADER_BYTES || delta_read_header(&header, data)) {
        return;
    }
    start_over();
    for (uint32_t at = 0; at < old.bytes; at += UNIT) {
        memset(word, (int)(at / 7), sizeof word);
        flash_sim.program(at, word, sizeof word);
    }
    if (delta_check_old(&header, &old) == 0) {
        __builtin_trap(); /* there is no image */
    }
    if (delta_open(&delta, &header, &old, &slot)) {
        return;
    }
    for (uint32_t at = DELTA_HEADER_BYTES; state > 0 && state != DELTA_DONE;) {
        uint32_t len = 1 + data[at % size] % 16u;
        uint32_t used;

        len = len < size - at ? len : size - at;
        state = delta_step(&delta, data + at, len, &used);
        if (used > len || (state == DELTA_HUNGRY && used < len)) {
            __builtin_trap();
        }
        at += used;
        if (state == DELTA_HUNGRY && at == size) {
            break; /* the link was closed */
        }
    }
    for (uint32_t unit = 2; unit < SECTORS; unit++) {
        if ((unit < 4 || unit == SECTORS - 1)
            && !nv_area_is_erased(&(struct nv_area){ &flash_sim, 0, flash_sim.bytes },
                                  unit * ERASE_BYTES, ERASE_BYTES)) {
            __builtin_trap(); /* it wrote beside its slot */
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const readers[])(const uint8_t *, uint32_t) = {
        fuzz_image, fuzz_kv, fuzz_delta, fuzz_meter, fuzz_telemetry,
    };

    if (size > 1 && size < 0x10000) {
        readers[data[0] % 5](data + 1, (uint32_t)size - 1);
    }
    return 0;
}
