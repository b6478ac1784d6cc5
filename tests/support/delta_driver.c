/* Applies a patch on a simulated flash, for tests. SPDX-License-Identifier: Apache-2.0
 *
 * usage: delta_driver ERASE_BYTES PROGRAM_BYTES UNITS SEED <OLD_BYTES, OLD, PATCH
 * The slot of UNITS erase units lies between two that must stay as they are. The patch comes in
 * pieces whose lengths follow from SEED. Prints how it ended, the flash operations, and how many
 * calls it took; then writes the new image to OUT if one was given. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "delta.h"
#include "flash_sim.h"

#define CAP 0x100000u

static uint8_t bytes[CAP];
static uint8_t pattern[0x10000];
static uint8_t made[CAP];

static void must(int good, const char *what)
{
    if (!good) {
        fprintf(stderr, "delta_driver: %s\n", what);
        exit(3);
    }
}

static struct nv_area take(uint32_t *at, uint32_t units)
{
    const struct nv_area area = { &flash_sim, *at, units * flash_sim.erase_bytes };

    *at += area.bytes;
    return area;
}

static void fill(const struct nv_area *area, const uint8_t *from, uint32_t len)
{
    const uint32_t unit = flash_sim.program_bytes;
    uint8_t last[NV_AREA_MAX_PROGRAM_BYTES];

    must(nv_area_program(area, 0, from, len / unit * unit) == 0, "cannot fill");
    if (len % unit != 0) {
        memset(last, 0xff, sizeof last);
        memcpy(last, from + len / unit * unit, len % unit);
        must(nv_area_program(area, len / unit * unit, last, unit) == 0, "cannot fill");
    }
}

int main(int argc, char **argv)
{
    must(argc == 5 || argc == 6, "usage: ERASE_BYTES PROGRAM_BYTES UNITS SEED [OUT]");
    const uint32_t erase_bytes = (uint32_t)strtoul(argv[1], 0, 0);
    const uint32_t units = (uint32_t)strtoul(argv[3], 0, 0);
    uint32_t random = (uint32_t)strtoul(argv[4], 0, 0) * 2 + 1;
    const uint32_t len = (uint32_t)fread(bytes, 1, sizeof bytes, stdin);
    uint32_t old_bytes = 0;

    must(len >= 4, "no input");
    memcpy(&old_bytes, bytes, 4);
    must(old_bytes <= len - 4, "old image too long");
    const uint8_t *patch = bytes + 4 + old_bytes;
    uint32_t left = len - 4 - old_bytes;
    const uint32_t old_units = old_bytes / erase_bytes + 1;
    uint32_t at = 0;

    flash_sim_configure((old_units + units + 2) * erase_bytes, erase_bytes,
                        (uint32_t)strtoul(argv[2], 0, 0));
    const struct nv_area old = take(&at, old_units);
    const struct nv_area before = take(&at, 1);
    const struct nv_area slot = take(&at, units);
    const struct nv_area after = take(&at, 1);

    memset(pattern, 0xa5, sizeof pattern);
    must(erase_bytes <= sizeof pattern, "erase unit too long");
    fill(&old, bytes + 4, old_bytes);
    fill(&before, pattern, erase_bytes);
    fill(&after, pattern, erase_bytes);
    for (uint32_t i = 0; i < units; i++) {
        const struct nv_area unit = { &flash_sim, slot.start + i * erase_bytes, erase_bytes };

        fill(&unit, pattern, erase_bytes); /* what was there before */
    }

    static struct delta delta;
    struct delta_header header;
    uint32_t calls = 0;
    int end = left < DELTA_HEADER_BYTES ? DELTA_ESHORT : delta_read_header(&header, patch);

    if (!end) {
        end = delta_check_old(&header, &old);
    }
    if (!end) {
        end = delta_open(&delta, &header, &old, &slot);
        patch += DELTA_HEADER_BYTES;
        left -= DELTA_HEADER_BYTES;
    }
    uint32_t piece = 0;

    while (end >= 0 && end != DELTA_DONE) {
        uint32_t used;

        if (piece == 0) {
            random = random * 1664525u + 1013904223u;
            piece = (random >> 16) % 300;
            piece = piece < left ? piece : left;
        }
        end = delta_step(&delta, patch, piece, &used);
        must(used <= piece, "used more than was given");
        patch += used;
        left -= used;
        piece -= used;
        calls++;
        if (end == DELTA_HUNGRY && left == 0) {
            end = DELTA_ESHORT; /* the link was closed */
        }
    }
    must(nv_area_read(&before, 0, made, erase_bytes) == 0
             && memcmp(made, pattern, erase_bytes) == 0
             && nv_area_read(&after, 0, made, erase_bytes) == 0
             && memcmp(made, pattern, erase_bytes) == 0,
         "wrote outside of the slot");
    printf("%d %u\n", end, (unsigned)calls);
    if (end == DELTA_DONE) {
        must(header.new_bytes <= sizeof made && nv_area_read(&slot, 0, made, header.new_bytes) == 0,
             "cannot read");
        must(nv_area_is_erased(&slot, (header.new_bytes + 31) / 32 * 32,
                               slot.bytes - (header.new_bytes + 31) / 32 * 32) == 1,
             "the rest of the slot is not erased");
        if (argc == 6) {
            FILE *const out = fopen(argv[5], "wb");

            must(out && fwrite(made, 1, header.new_bytes, out) == header.new_bytes
                     && fclose(out) == 0,
                 "cannot write");
        }
    }
    return 0;
}
