/* The bootloader's library on a board in memory, driven line by line from stdin.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Its flash can be made to lie: to give other bytes from the n-th look on, or to fail. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot_bench.h"
#include "boot_slot.h"
#include "flash_sim.h"

#define MAX_LINE 0x40000
#define MAX_BYTES 0x10000

static char line[MAX_LINE];
static uint8_t bytes[MAX_BYTES];
static struct boot boot;
static struct boot_image_key key;
static uint8_t decrypt_key[32], vendor_id[16], class_id[BOOT_IMAGES][16];

static struct hal_flash hostile;
static uint8_t lie[64];
static uint32_t lie_at, lie_len, lie_from, lie_to, looks;
static uint32_t fail_at, fail_len, fails;
static uint32_t writes;

static int hostile_read(uint32_t address, void *to, uint32_t len)
{
    const int err = flash_sim.read(address, to, len);

    if (fails > 0 && address < fail_at + fail_len && fail_at < address + len) {
        fails--;
        return FLASH_EIO;
    }
    if (lie_len > 0 && address <= lie_at && lie_at < address + len) {
        const uint32_t room = address + len - lie_at;
        const uint32_t look = looks++;

        if (look >= lie_from && look < lie_to) {
            memcpy((uint8_t *)to + (lie_at - address), lie, lie_len < room ? lie_len : room);
        }
    }
    return err;
}

static int hostile_program(uint32_t address, const void *from, uint32_t len)
{
    writes++;
    return flash_sim.program(address, from, len);
}

static int hostile_erase(uint32_t address)
{
    writes++;
    return flash_sim.erase(address);
}

static uint32_t from_hex(const char *text, uint8_t *to, uint32_t cap)
{
    uint32_t len = 0;
    unsigned byte;

    while (len < cap && sscanf(text + 2 * len, "%2x", &byte) == 1) {
        to[len++] = (uint8_t)byte;
    }
    return len;
}

static void configure(const char *arguments)
{
    unsigned erase_bytes, program_bytes, units, images;
    char mode[8];

    if (sscanf(arguments, "%u %u %u %7s %u", &erase_bytes, &program_bytes, &units, mode, &images)
        != 5) {
        exit(2);
    }
    boot_bench_configure(erase_bytes, program_bytes, units,
                         strcmp(mode, "xip") == 0    ? BOOT_XIP
                         : strcmp(mode, "swap") == 0 ? BOOT_SWAP
                                                     : BOOT_RAM);
    hostile = flash_sim;
    hostile.read = hostile_read;
    hostile.program = hostile_program;
    hostile.erase = hostile_erase;
    lie_len = fails = 0;
    boot_bench.image_count = images;
    boot_bench.keys = &key;
    boot_bench.state_area.flash = &hostile;
    for (int i = 0; i < BOOT_IMAGES; i++) {
        boot_bench.unit[i].counter_area.flash = &hostile;
        boot_bench.unit[i].slot[0].area.flash = &hostile;
        boot_bench.unit[i].slot[1].area.flash = &hostile;
    }
}

static void show(enum boot_status status)
{
    printf("%d", (int)status);
    for (int i = 0; i < BOOT_IMAGES; i++) {
        printf(" %u %u %u %d %d %u %d %d", boot.chosen[i], (unsigned)boot_entry(&boot, (uint32_t)i),
               boot.on_trial[i], (int)boot.status[i][0], (int)boot.status[i][1],
               (unsigned)nv_counter_value(&boot.counter[i]), (int)boot.counter_status[i],
               (int)boot.request[i]);
    }
    printf(" %d %u\n", (int)boot.state_status, (unsigned)writes);
}

static struct boot_control control(void)
{
    struct boot_control c;
    struct boot_handover handover;

    boot_hand_over(&boot, &handover);
    (void)boot_open(&c, &boot_bench, &handover);
    return c;
}

static void obey(const char *command, const char *rest)
{
    unsigned a = 0, b = 0, c = 0;
    int at = 0;

    if (strcmp(command, "config") == 0) {
        configure(rest);
    } else if (strcmp(command, "key") == 0) {
        from_hex(rest, key.public_key, sizeof key.public_key);
    } else if (strcmp(command, "decrypt") == 0) {
        boot_bench.decrypt_key = from_hex(rest, decrypt_key, 32) == 32 ? decrypt_key : 0;
    } else if (strcmp(command, "vendor") == 0) {
        from_hex(rest, vendor_id, 16);
        boot_bench.vendor_id = vendor_id;
    } else if (strcmp(command, "class") == 0) {
        sscanf(rest, "%u %n", &a, &at);
        from_hex(rest + at, class_id[a], 16);
        boot_bench.unit[a].class_id = class_id[a];
    } else if (strcmp(command, "downgrade") == 0) {
        boot_bench.allow_downgrade = (uint32_t)atoi(rest);
    } else if (strcmp(command, "endurance") == 0) {
        boot_bench.endurance_cycles = (uint32_t)atoi(rest);
    } else if (strcmp(command, "wear") == 0) {
        struct nv_counter counter = { .endurance_cycles = boot_bench.endurance_cycles };

        sscanf(rest, "%u %u", &a, &b);
        counter.area = boot_bench.unit[a].counter_area;
        while (b-- > 0) {
            (void)nv_counter_mount(&counter);
        }
        printf("%u", (unsigned)nv_counter_headroom(&counter));
    } else if (strcmp(command, "write") == 0) {
        sscanf(rest, "%u %u %n", &a, &b, &at);
        const uint32_t len = from_hex(rest + at, bytes, sizeof bytes);

        printf("%d\n", boot_bench_write(a, b, bytes, len));
        return;
    } else if (strcmp(command, "read") == 0) {
        sscanf(rest, "%u %u %u", &a, &b, &c);
        flash_sim.read(boot_bench.unit[a].slot[b].area.start, bytes, c);
        for (unsigned i = 0; i < c; i++) {
            printf("%02x", bytes[i]);
        }
    } else if (strcmp(command, "address") == 0) {
        sscanf(rest, "%u %u", &a, &b);
        printf("%u %u", (unsigned)boot_bench.unit[a].slot[b].address,
               (unsigned)boot_bench.unit[a].ram_address);
    } else if (strcmp(command, "lie") == 0) {
        sscanf(rest, "%u %u %u %u %u %n", &a, &b, &c, &lie_from, &lie_to, &at);
        lie_at = boot_bench.unit[a].slot[b].area.start + c;
        lie_len = from_hex(rest + at, lie, sizeof lie);
        looks = 0;
    } else if (strcmp(command, "fail") == 0) {
        sscanf(rest, "%u %u %u", &fail_at, &fail_len, &fails);
    } else if (strcmp(command, "boot") == 0) {
        writes = 0;
        show(boot_run(&boot, &boot_bench));
        return;
    } else if (strcmp(command, "slot") == 0) { /* as an application judges it */
        struct boot_config told = boot_bench;
        struct boot_image image;

        sscanf(rest, "%u %u", &a, &b);
        told.takes_encrypted = 1;
        told.decrypt = 0;
        told.decrypt_key = 0;
        printf("%d", (int)boot_slot_check(&told, a, b, 0, &image));
    } else if (strcmp(command, "pending") == 0) {
        struct boot_control now = control();

        sscanf(rest, "%u %u", &a, &b);
        printf("%d", (int)boot_set_pending(&now, a, b));
    } else if (strcmp(command, "confirm") == 0) {
        struct boot_control now = control();

        printf("%d", (int)boot_confirm(&now));
    } else {
        exit(2);
    }
    printf("\n");
}

int main(void)
{
    while (fgets(line, sizeof line, stdin)) {
        char command[16];
        int at = 0;

        if (sscanf(line, "%15s %n", command, &at) != 1) {
            return 2;
        }
        obey(command, line + at);
        fflush(stdout);
    }
    return 0;
}
