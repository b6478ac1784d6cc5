/* A board in memory for the bootloader's code: flash_sim, two images of two slots, areas of the
 * counters. SPDX-License-Identifier: Apache-2.0 */
#ifndef BOOT_BENCH_H
#define BOOT_BENCH_H

#include <stdint.h>

#include "boot.h"

#define BOOT_BENCH_AREA_UNITS 2 /* erase units of the state register and of each counter */
#define BOOT_BENCH_SEED 0x42    /* every byte of the signing key's seed */
#define BOOT_BENCH_BASE 0x10000000u

extern struct boot_config boot_bench;

/* A flash of that geometry, blank, with slots of `units` erase units, the trailer's included.
 * Slot addresses are BOOT_BENCH_BASE plus where they lie in the flash. */
void boot_bench_configure(uint32_t erase_bytes, uint32_t program_bytes, uint32_t units,
                          enum boot_mode mode);

/* Erase units of that flash. */
uint32_t boot_bench_units(uint32_t units);

/* What one image is made of. */
struct boot_bench_image {
    uint32_t payload_bytes;
    uint8_t fill;     /* what the payload is drawn from */
    uint8_t major;    /* version */
    uint32_t counter; /* security counter */
    uint32_t flags;
    uint32_t address;
    uint8_t needs_image; /* 0xff: no dependency */
    uint8_t needs_major;
    uint8_t is_encrypted; /* for boot_bench.decrypt_key, AES-128 */
};

/* Writes the signed image, at most `cap` bytes, and returns its length; exits if it does not
 * fit. */
uint32_t boot_bench_make(const struct boot_bench_image *from, uint8_t *bytes, uint32_t cap);

/* Erases a slot and programs `len` bytes from its start on. Returns 0 or the flash's error. */
int boot_bench_write(uint32_t image, uint32_t slot, const uint8_t *bytes, uint32_t len);

#endif
