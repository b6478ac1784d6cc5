/* A board in memory for the bootloader's code. SPDX-License-Identifier: Apache-2.0 */
#include "boot_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot_decrypt.h"
#include "boot_swap.h"
#include "ed25519.h"
#include "flash_sim.h"
#include "hmac.h"
#include "monocypher.h"
#include "sha256.h"

#define HEADER_BYTES 64u
#define RAM_BYTES 0x20000u
#define AREAS 3u

static struct boot_image_key key;
static uint8_t decrypt_key[32];
static uint8_t ram[BOOT_IMAGES][RAM_BYTES];

struct boot_config boot_bench;

uint32_t boot_bench_units(uint32_t units)
{
    return AREAS * BOOT_BENCH_AREA_UNITS + BOOT_IMAGES * BOOT_SLOTS * units;
}

static struct nv_area take(uint32_t *at, uint32_t units)
{
    const struct nv_area area = { &flash_sim, *at, units * flash_sim.erase_bytes };

    *at += area.bytes;
    return area;
}

void boot_bench_configure(uint32_t erase_bytes, uint32_t program_bytes, uint32_t units,
                          enum boot_mode mode)
{
    uint8_t seed[ED25519_SEED_BYTES];
    uint32_t at = 0;

    memset(seed, BOOT_BENCH_SEED, sizeof seed);
    memset(decrypt_key, BOOT_BENCH_SEED, sizeof decrypt_key);
    ed25519_public(seed, key.public_key);
    flash_sim_configure(boot_bench_units(units) * erase_bytes, erase_bytes, program_bytes);
    memset(&boot_bench, 0, sizeof boot_bench);
    boot_bench.state_area = take(&at, BOOT_BENCH_AREA_UNITS);
    boot_bench.image_count = BOOT_IMAGES;
    boot_bench.endurance_cycles = UINT32_MAX / BOOT_BENCH_AREA_UNITS;
    boot_bench.keys = &key;
    boot_bench.key_count = 1;
    boot_bench.mode = mode;
    boot_bench.swap = mode == BOOT_SWAP ? &boot_swap_slots : 0;
    boot_bench.decrypt = mode == BOOT_XIP ? 0 : &boot_decrypt_x25519;
    boot_bench.decrypt_key = decrypt_key;
    for (uint32_t i = 0; i < BOOT_IMAGES; i++) {
        struct boot_unit *unit = &boot_bench.unit[i];

        unit->counter_area = take(&at, BOOT_BENCH_AREA_UNITS);
        for (uint32_t s = 0; s < BOOT_SLOTS; s++) {
            unit->slot[s].address = BOOT_BENCH_BASE + at;
            unit->slot[s].area = take(&at, units);
        }
        unit->ram = ram[i];
        unit->ram_address = 0x20000000u + i * RAM_BYTES;
        unit->ram_bytes = RAM_BYTES;
    }
}

static uint8_t *put(uint8_t *p, uint32_t value, uint32_t bytes)
{
    while (bytes-- > 0) {
        *p++ = (uint8_t)value;
        value >>= 8;
    }
    return p;
}

static uint8_t *put_tlv(uint8_t *p, uint32_t type, const void *value, uint32_t len)
{
    p = put(put(p, type, 2), len, 2);
    memcpy(p, value, len);
    return p + len;
}

static uint8_t *put_header(uint8_t *p, const struct boot_bench_image *from)
{
    uint8_t *const start = p;
    const uint32_t flags = from->flags | (from->is_encrypted ? BOOT_IMAGE_AES128 : 0);
    const uint32_t protected_bytes = 12 + (from->needs_image == BOOT_IMAGE_NO_IMAGE ? 0 : 16);

    memset(p, 0xff, HEADER_BYTES);
    p = put(put(put(p, BOOT_IMAGE_MAGIC, 4), from->address, 4), HEADER_BYTES, 2);
    p = put(put(put(p, protected_bytes, 2), from->payload_bytes, 4), flags, 4);
    put(put(p, from->major, 8), 0, 4);
    return start + HEADER_BYTES;
}

static uint8_t *put_protected(uint8_t *p, const struct boot_bench_image *from)
{
    uint8_t counter[4];
    uint8_t needs[12] = { from->needs_image, 0, 0, 0, from->needs_major };
    const int has_needs = from->needs_image != BOOT_IMAGE_NO_IMAGE;

    put(counter, from->counter, 4);
    p = put(put(p, 0x6908, 2), has_needs ? 28 : 12, 2);
    p = put_tlv(p, 0x50, counter, sizeof counter);
    return has_needs ? put_tlv(p, 0x40, needs, sizeof needs) : p;
}

/* As imgtool's ecies_hkdf(), with an ephemeral key and an image key that are always the same. */
static uint8_t *put_wrapped(uint8_t *p, uint8_t image_key[16])
{
    static const uint8_t zero[16];
    static const uint8_t ephemeral[32] = { 7 };
    uint8_t theirs[32];
    uint8_t shared[32];
    uint8_t derived[16 + 32];
    uint8_t value[80];
    struct aes_ctr aes;
    struct hmac hmac;

    memset(image_key, 0x17, 16);
    crypto_x25519_public_key(theirs, decrypt_key);
    crypto_x25519(shared, ephemeral, theirs);
    (void)hmac_hkdf(shared, 32, 0, 0, "MCUBoot_ECIES_v1", 16, derived, sizeof derived);
    crypto_x25519_public_key(value, ephemeral);
    (void)aes_ctr_init(&aes, derived, 16);
    aes_ctr_crypt(&aes, zero, 0, image_key, value + 64, 16);
    hmac_init(&hmac, derived + 16, 32);
    hmac_update(&hmac, value + 64, 16);
    hmac_final(&hmac, value + 32);
    return put_tlv(p, 0x33, value, sizeof value);
}

uint32_t boot_bench_make(const struct boot_bench_image *from, uint8_t *bytes, uint32_t cap)
{
    static const uint8_t prefix[12] = { 0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                        0x2b, 0x65, 0x70, 0x03, 0x21, 0x00 };
    uint8_t seed[ED25519_SEED_BYTES];
    uint8_t digest[SHA256_BYTES];
    uint8_t signature[ED25519_SIGNATURE_BYTES];
    struct sha256 hash;

    if (cap < 512 || from->payload_bytes > cap - 512) {
        fprintf(stderr, "boot_bench: image of %u bytes, room for %u\n",
                (unsigned)from->payload_bytes, (unsigned)cap);
        exit(3);
    }
    uint8_t *p = put_header(bytes, from);
    uint8_t *const payload = p;

    for (uint32_t i = 0; i < from->payload_bytes; i++) {
        *p++ = (uint8_t)(from->fill + i * 7 + (i >> 8));
    }
    p = put_protected(p, from);
    sha256_init(&hash);
    sha256_update(&hash, bytes, (size_t)(p - bytes));
    sha256_final(&hash, digest);
    memset(seed, BOOT_BENCH_SEED, sizeof seed);
    ed25519_sign(seed, digest, sizeof digest, signature);
    p = put(put(p, 0x6907, 2), 4 + 36 + 36 + 68 + (from->is_encrypted ? 84 : 0), 2);
    p = put_tlv(p, 0x10, digest, sizeof digest);
    sha256_init(&hash);
    sha256_update(&hash, prefix, sizeof prefix);
    sha256_update(&hash, key.public_key, sizeof key.public_key);
    sha256_final(&hash, digest);
    p = put_tlv(p, 0x01, digest, sizeof digest);
    p = put_tlv(p, 0x24, signature, sizeof signature);
    if (from->is_encrypted) {
        static const uint8_t block_0[16];
        uint8_t image_key[16];
        struct aes_ctr aes;

        p = put_wrapped(p, image_key);
        (void)aes_ctr_init(&aes, image_key, sizeof image_key);
        aes_ctr_crypt(&aes, block_0, 0, payload, payload, from->payload_bytes);
    }
    return (uint32_t)(p - bytes);
}

int boot_bench_write(uint32_t image, uint32_t slot, const uint8_t *bytes, uint32_t len)
{
    const struct nv_area *area = &boot_bench.unit[image].slot[slot].area;
    const uint32_t unit = flash_sim.program_bytes;
    uint8_t last[NV_AREA_MAX_PROGRAM_BYTES];
    const uint32_t whole = len / unit * unit;
    int err = 0;

    for (uint32_t at = 0; !err && at < area->bytes; at += flash_sim.erase_bytes) {
        err = nv_area_erase(area, at);
    }
    for (uint32_t at = 0; !err && at < whole; at += unit) {
        uint32_t erased = 0;

        while (erased < unit && bytes[at + erased] == 0xff) {
            erased++;
        }
        err = erased == unit ? 0 : nv_area_program(area, at, bytes + at, unit);
    }
    if (!err && len > whole) {
        memset(last, 0xff, sizeof last);
        memcpy(last, bytes + whole, len - whole);
        err = nv_area_program(area, whole, last, unit);
    }
    return err;
}
