/* Updates under power cuts: old or new boots, and stays. SPDX-License-Identifier: Apache-2.0
 *
 * A round starts from a confirmed pair and is the whole life of one update: asked for, booted,
 * confirmed or not, booted again. After a cut the device is started over and over; each time
 * whole images of the old or the new versions boot, both of the same update, and the security
 * counters are the old ones or, after a confirmation, the new ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot_bench.h"
#include "boot_trailer.h"
#include "delta_bench.h"
#include "flash_sim.h"
#include "power.h"
#include "smp_bench.h"

#define MIN_DATA_BYTES 1200u /* of a slot, besides the trailer; and two erase units */
#define MAX_IMAGE_BYTES 1200u
#define MAX_PAYLOAD_BYTES 600u
#define MAX_ENCRYPTED_BYTES 120u /* the cipher is slow and every start decrypts */
#define LAST_VERSION 200u

enum plan { INSTALL, REVERT, UPLOAD, SEND, PATCH };

static enum plan plan;
static uint8_t is_encrypted;
static uint32_t mask; /* images of this update */

static uint32_t old[BOOT_IMAGES]; /* version and security counter */
static uint32_t new[BOOT_IMAGES];
static uint8_t bytes[BOOT_IMAGES][MAX_IMAGE_BYTES];
static uint32_t lens[BOOT_IMAGES];
static uint32_t slots[BOOT_IMAGES]; /* where the new ones go */
static uint32_t runs[BOOT_IMAGES];  /* where the old ones lie */
static uint8_t patch[BOOT_IMAGES][MAX_IMAGE_BYTES + 400];
static uint32_t patch_bytes[BOOT_IMAGES];

static int asked_to_confirm;
static int settled; /* a restart since the cut ran a confirmed pair: */
static uint32_t settled_on[BOOT_IMAGES];

static struct boot boot;
static struct boot_handover at_start; /* of the round */

static void must(int good, const char *what)
{
    if (!good) {
        fprintf(stderr, "boot: %s\n", what);
        exit(1);
    }
}

static void make(uint32_t image, uint32_t slot, uint32_t version)
{
    const int is_installed = boot_bench.mode == BOOT_SWAP && slot == 0;
    const struct boot_unit *unit = &boot_bench.unit[image];
    struct boot_bench_image from = {
        .payload_bytes = 1 + power_random(is_encrypted ? MAX_ENCRYPTED_BYTES : MAX_PAYLOAD_BYTES),
        .fill = (uint8_t)version,
        .major = (uint8_t)version,
        .counter = version,
        .flags = BOOT_IMAGE_ROM_FIXED,
        .address = unit->slot[boot_bench.mode == BOOT_XIP ? slot : 0].address,
        .needs_image = BOOT_IMAGE_NO_IMAGE,
        .is_encrypted = is_encrypted && !is_installed,
    };

    if (boot_bench.mode == BOOT_RAM) {
        from.flags = BOOT_IMAGE_RAM_LOAD;
        from.address = unit->ram_address;
    }
    if (image == BOOT_CAPSULE) {
        from.needs_image = BOOT_APP;
        from.needs_major = (uint8_t)new[BOOT_APP];
    }
    lens[image] = boot_bench_make(&from, bytes[image], sizeof bytes[image]);
}

static void start_over(void)
{
    flash_sim_erase_all();
    for (uint32_t i = 0; i < BOOT_IMAGES; i++) {
        old[i] = new[i] = 1;
        make(i, 0, 1);
        must(boot_bench_write(i, 0, bytes[i], lens[i]) == 0, "write");
    }
    must(boot_run(&boot, &boot_bench) == BOOT_GOOD, "the first images do not boot");
}

static void prepare(enum boot_mode mode, enum plan what, uint8_t encrypted)
{
    const uint32_t erase_bytes = flash_sim.erase_bytes;
    const struct nv_area slot = { &flash_sim, 0, flash_sim.bytes };
    const uint32_t data = (MIN_DATA_BYTES + erase_bytes - 1) / erase_bytes;

    plan = what;
    is_encrypted = encrypted;
    boot_bench_configure(erase_bytes, flash_sim.program_bytes,
                         boot_trailer_bytes(&slot) / erase_bytes + (data < 2 ? 2 : data), mode);
    start_over();
}

static struct boot_control opened(const struct boot_handover *handover)
{
    struct boot_control control;

    must(boot_handover_check(handover) == BOOT_GOOD, "handover");
    must(boot_open(&control, &boot_bench, handover) == BOOT_GOOD, "open");
    return control;
}

static void write_new(void)
{
    for (uint32_t i = 0; i < BOOT_IMAGES; i++) {
        if (mask >> i & 1) {
            must(boot_bench_write(i, slots[i], bytes[i], lens[i]) == 0, "write");
        }
    }
}

static void make_patch(uint32_t image)
{
    const struct nv_area *area = &boot_bench.unit[image].slot[runs[image]].area;
    const struct boot_image_source source = boot_image_in_area(area, area->bytes);
    struct boot_image read;
    uint8_t before[MAX_IMAGE_BYTES];

    must(boot_image_read(&read, &source) == BOOT_GOOD && read.total_bytes <= sizeof before
             && nv_area_read(area, 0, before, read.total_bytes) == 0,
         "read");
    patch_bytes[image] = delta_bench_make((uint8_t)image, before, read.total_bytes, bytes[image],
                                          lens[image], patch[image], sizeof patch[image]);
}

static int is_over_smp(void)
{
    return plan == SEND || plan == PATCH;
}

/* Over SMP, by a device that has just started. */
static void send(const struct boot_handover *handover)
{
    smp_bench_start(handover);
    for (uint32_t i = 0; i < BOOT_IMAGES; i++) {
        if (mask >> i & 1) {
            must(plan == PATCH ? smp_bench_upload(i, patch[i], patch_bytes[i]) == 0
                               : smp_bench_upload(i, bytes[i], lens[i]) == 0,
                 "upload");
        }
    }
}

static void draw(void)
{
    if (old[BOOT_APP] >= LAST_VERSION || old[BOOT_CAPSULE] >= LAST_VERSION) {
        start_over();
    }
    boot_hand_over(&boot, &at_start);
    const struct boot_control control = opened(&at_start);

    /* SMP asks for the trial of one image at a time. */
    mask = 1 + power_random(is_over_smp() ? 2 : 3);
    for (uint32_t i = 0; i < BOOT_IMAGES; i++) {
        new[i] = old[i] + (mask >> i & 1);
    }
    for (uint32_t i = 0; i < BOOT_IMAGES; i++) {
        if (mask >> i & 1) {
            must(boot_update_slot(&control, i, &slots[i]) == BOOT_GOOD, "update slot");
            make(i, slots[i], new[i]);
            if (plan == PATCH) {
                runs[i] = slots[i] ^ 1u;
                make_patch(i);
            }
        }
    }
    if (plan == INSTALL || plan == REVERT) {
        write_new();
    }
}

/* All that the application does, it is asked for over SMP. */
static void act_over_smp(void)
{
    const uint32_t i = mask >> 1;
    const struct boot_image_source source = boot_image_in_memory(bytes[i], lens[i]);
    struct boot_handover handover;
    struct boot_image image;

    send(&at_start);
    must(boot_image_read(&image, &source) == BOOT_GOOD && smp_bench_test(image.hash) == 0, "test");
    must(boot_run(&boot, &boot_bench) == BOOT_GOOD, "trial");
    boot_hand_over(&boot, &handover);
    smp_bench_start(&handover);
    asked_to_confirm = 1;
    must(smp_bench_confirm() == 0, "confirm");
    must(boot_run(&boot, &boot_bench) == BOOT_GOOD, "after the trial");
}

static void act(void *unused)
{
    (void)unused;
    asked_to_confirm = 0;
    if (is_over_smp()) {
        act_over_smp();
        return;
    }
    struct boot_control control = opened(&at_start);

    if (plan == UPLOAD) {
        write_new();
    }
    must(boot_set_pending(&control, mask, 0) == BOOT_GOOD, "set pending");
    must(boot_run(&boot, &boot_bench) == BOOT_GOOD, "trial");
    if (plan != REVERT) {
        struct boot_handover handover;

        boot_hand_over(&boot, &handover);
        control = opened(&handover);
        asked_to_confirm = 1;
        must(boot_confirm(&control) == BOOT_GOOD, "confirm");
    }
    must(boot_run(&boot, &boot_bench) == BOOT_GOOD, "after the trial");
}

static int fail(const char *what, uint32_t image, uint32_t got)
{
    fprintf(stderr, "boot: image %u: %s (%u; %u or %u)\n", (unsigned)image, what, (unsigned)got,
            (unsigned)old[image], (unsigned)new[image]);
    return -1;
}

/* What lies at the entry is what was made as that version. */
static int is_whole(uint32_t i)
{
    const uint32_t s = boot.chosen[i];
    const struct boot_image *image = &boot.image[i][s];
    const struct boot_unit *unit = &boot_bench.unit[i];
    const uint32_t entry = boot_entry(&boot, i);
    uint8_t payload[MAX_PAYLOAD_BYTES];

    if (boot_bench.mode == BOOT_RAM) {
        memcpy(payload, unit->ram + (entry - unit->ram_address), image->payload_bytes);
    } else if (entry != unit->slot[s].address + image->header_bytes
               || nv_area_read(&unit->slot[s].area, image->header_bytes, payload,
                               image->payload_bytes)) {
        return 0;
    }
    for (uint32_t k = 0; k < image->payload_bytes; k++) {
        if (payload[k] != (uint8_t)(image->version.major + k * 7 + (k >> 8))) {
            return 0;
        }
    }
    return entry != 0;
}

/* The slot that does not run holds this version, whole and signed. */
static int holds(uint32_t i, uint32_t version)
{
    const uint32_t s = boot.chosen[i] ^ 1u;
    const struct nv_area *area = &boot_bench.unit[i].slot[s].area;
    const struct boot_image_source source =
        boot_image_in_area(area, area->bytes - boot_trailer_bytes(area));
    struct boot_image_rules rules = {
        .keys = boot_bench.keys,
        .key_count = 1,
        .address = boot_bench.unit[i].slot[boot_bench.mode == BOOT_XIP ? s : 0].address,
    };
    if (boot_bench.mode == BOOT_RAM) {
        rules.address = boot_bench.unit[i].ram_address;
        rules.flag = BOOT_IMAGE_RAM_LOAD;
    }
    struct boot_image image;
    uint32_t flow = 0;

    return boot_image_check(&image, &source, &source, &rules, &flow) == BOOT_GOOD
           && image.version.major == version;
}

static int judge(void)
{
    uint32_t runs_new = 0;

    for (uint32_t i = 0; i < BOOT_IMAGES; i++) {
        if (boot.chosen[i] == BOOT_NO_SLOT) {
            return fail("nothing to run", i, 0);
        }
        const uint32_t version = boot.image[i][boot.chosen[i]].version.major;
        const uint32_t counter = nv_counter_value(&boot.counter[i]);

        if (version != old[i] && version != new[i]) {
            return fail("neither old nor new runs", i, version);
        }
        if (!is_whole(i)) {
            return fail("not what was signed", i, version);
        }
        if (counter != old[i] && !(counter == new[i] && asked_to_confirm && version == new[i])) {
            return fail("counter", i, counter);
        }
        if (settled && version != settled_on[i]) {
            return fail("changed its mind", i, version);
        }
        if (mask >> i & 1) {
            runs_new |= (uint32_t)(version == new[i]) << i;
            if (version == new[i] && boot_bench.mode != BOOT_RAM && !holds(i, old[i])) {
                return fail("the old image is gone", i, version);
            }
        }
    }
    return runs_new == 0 || runs_new == mask ? 0 : fail("half an update", 0, runs_new);
}

/* After a cut all is sent again, and arrives. */
static int send_again(void)
{
    const uint32_t i = mask >> 1;
    struct boot_handover handover;

    if (!is_over_smp() || settled_on[i] != old[i]) {
        return 0;
    }
    boot_hand_over(&boot, &handover);
    send(&handover);
    return holds(i, new[i]) ? 0 : fail("it did not arrive", i, 0);
}

static int check(int again)
{
    if (again == 0) {
        settled = 0;
    }
    const enum boot_status status = boot_run(&boot, &boot_bench);

    if (status != BOOT_GOOD) {
        fprintf(stderr, "boot: %s\n", boot_status_text(status));
        return -1;
    }
    if (judge()) {
        return -1;
    }
    if (!boot.on_trial[BOOT_APP] && !boot.on_trial[BOOT_CAPSULE]) {
        settled = 1;
        for (uint32_t i = 0; i < BOOT_IMAGES; i++) {
            settled_on[i] = boot.image[i][boot.chosen[i]].version.major;
        }
        return send_again();
    }
    return 0;
}

static int check_done(void)
{
    const uint32_t *wanted = plan == REVERT ? old : new;

    settled = 0;
    if (judge()) {
        return -1;
    }
    for (uint32_t i = 0; i < BOOT_IMAGES; i++) {
        if (boot.image[i][boot.chosen[i]].version.major != wanted[i] || boot.on_trial[i]
            || nv_counter_value(&boot.counter[i]) != wanted[i]) {
            return fail("not what was asked for", i, wanted[i]);
        }
    }
    memcpy(old, wanted, sizeof old);
    return 0;
}

static void prepare_xip_install(void)
{
    prepare(BOOT_XIP, UPLOAD, 0);
}

static void prepare_xip_revert(void)
{
    prepare(BOOT_XIP, REVERT, 0);
}

static void prepare_swap_install(void)
{
    prepare(BOOT_SWAP, INSTALL, 0);
}

static void prepare_swap_revert(void)
{
    prepare(BOOT_SWAP, REVERT, 0);
}

static void prepare_swap_encrypted(void)
{
    prepare(BOOT_SWAP, INSTALL, 1);
}

static void prepare_ram_encrypted(void)
{
    prepare(BOOT_RAM, INSTALL, 1);
}

static void prepare_xip_smp(void)
{
    prepare(BOOT_XIP, SEND, 0);
}

static void prepare_swap_smp(void)
{
    prepare(BOOT_SWAP, SEND, 0);
}

static void prepare_ram_smp(void)
{
    prepare(BOOT_RAM, SEND, 0);
}

static void prepare_xip_delta(void)
{
    prepare(BOOT_XIP, PATCH, 0);
}

static void prepare_swap_delta(void)
{
    prepare(BOOT_SWAP, PATCH, 0);
}

static void prepare_ram_delta(void)
{
    prepare(BOOT_RAM, PATCH, 0);
}

/* Their flash is configured anew when they are prepared. */
#define SCENARIO(name) { #name, prepare_##name, draw, act, check, check_done, 1 }

const struct power_scenario power_boot[POWER_BOOT_COUNT] = {
    SCENARIO(xip_install),    SCENARIO(xip_revert),     SCENARIO(swap_install),
    SCENARIO(swap_revert),    SCENARIO(swap_encrypted), SCENARIO(ram_encrypted),
    SCENARIO(xip_smp),        SCENARIO(swap_smp),       SCENARIO(ram_smp),
    SCENARIO(xip_delta),      SCENARIO(swap_delta),     SCENARIO(ram_delta),
};
