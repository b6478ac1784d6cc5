/* SMP group 0, os. SPDX-License-Identifier: Apache-2.0 */
#include "smp_os.h"

#include "boot_slot.h"
#include "hal.h"
#include "slots.h"

#define ENO_ANSWER 3 /* OS_MGMT_ERR_QUERY_YIELDS_NO_ANSWER */
#define DRAIN_MS 10u /* longer than a transmitter's FIFO of 64 bytes takes at 115200 baud */

static uint32_t buffer_size;

void smp_os_start(uint32_t buffer_bytes)
{
    buffer_size = buffer_bytes;
}

static int echo(struct smp_request *r)
{
    struct cbor_string text = { 0 };
    const struct cbor_field fields[] = { { "d", CBOR_TEXT, &text } };

    if (smp_read(r, fields, 1) || !text.at) {
        return SMP_EINVAL;
    }
    cbor_put_map(&r->out, 1);
    cbor_put_text(&r->out, "r");
    cbor_put_text_bytes(&r->out, text.at, text.len);
    return SMP_OK;
}

static void restart(void)
{
    const uint64_t start = hal.clock->ticks();

    while (hal.clock->ticks() - start < (uint64_t)hal.clock->hz * DRAIN_MS / 1000) {
    }
    hal.reset->now(HAL_RESET_REQUESTED);
}

static int reset(struct smp_request *r)
{
    r->then = restart;
    return SMP_OK;
}

static int parameters(struct smp_request *r)
{
    cbor_put_map(&r->out, 2);
    cbor_put_text(&r->out, "buf_size");
    cbor_put_uint(&r->out, buffer_size);
    cbor_put_text(&r->out, "buf_count");
    cbor_put_uint(&r->out, 1);
    return SMP_OK;
}

/* MCUmgr's numbers: of MCUboot's modes, the one with our slots' behaviour. */
static uint32_t mcuboot_mode(void)
{
    switch (slots_config()->mode) {
    case BOOT_SWAP:
        return 3; /* swap without scratch */
    case BOOT_RAM:
        return 6; /* RAM loader */
    case BOOT_XIP:
    default:
        return 5; /* direct XIP with revert */
    }
}

/* A `response`, if one follows, is the second pair. */
static void introduce(struct smp_request *r, int answers)
{
    cbor_put_map(&r->out, answers ? 2 : 1);
    cbor_put_text(&r->out, "bootloader");
    cbor_put_text(&r->out, "MCUboot");
    if (answers) {
        cbor_put_text(&r->out, "response");
    }
}

/* Where images run: what they must be linked for. */
static int tell_places(struct smp_request *r)
{
    const struct boot_config *const config = slots_config();

    introduce(r, 1);
    cbor_put_array(&r->out, BOOT_IMAGES * BOOT_SLOTS);
    for (uint32_t i = 0; i < BOOT_IMAGES * BOOT_SLOTS; i++) {
        const struct boot_unit *const unit = &config->unit[i / BOOT_SLOTS];
        const uint32_t slot = i % BOOT_SLOTS;

        cbor_put_map(&r->out, 4);
        cbor_put_text(&r->out, "image");
        cbor_put_uint(&r->out, i / BOOT_SLOTS);
        cbor_put_text(&r->out, "slot");
        cbor_put_uint(&r->out, slot);
        cbor_put_text(&r->out, "address");
        cbor_put_uint(&r->out, boot_slot_rules(config, i / BOOT_SLOTS, slot).address);
        cbor_put_text(&r->out, "bytes");
        cbor_put_uint(&r->out, boot_slot_room(&unit->slot[slot].area));
    }
    return SMP_OK;
}

/* Clients take "MCUboot" for the format of images and for the meaning of `mode`; both are true
 * here. */
static int bootloader(struct smp_request *r)
{
    struct cbor_string query = { 0 };
    const struct cbor_field fields[] = { { "query", CBOR_TEXT, &query } };

    if (smp_read(r, fields, 1)) {
        return SMP_EINVAL;
    }
    if (!query.at) {
        introduce(r, 0);
        return SMP_OK;
    }
    if (cbor_is_text(&query, "slots")) {
        return tell_places(r);
    }
    if (!cbor_is_text(&query, "mode")) {
        return SMP_GROUP(ENO_ANSWER);
    }
    introduce(r, 1);
    cbor_put_map(&r->out, 2);
    cbor_put_text(&r->out, "mode");
    cbor_put_uint(&r->out, mcuboot_mode());
    cbor_put_text(&r->out, "no-downgrade");
    cbor_put_bool(&r->out, 1);
    return SMP_OK;
}

static enum smp_error general(int rc)
{
    return rc == ENO_ANSWER ? SMP_EINVAL : SMP_EUNKNOWN;
}

static const struct smp_command commands[] = {
    { 0, echo, echo },
    { 5, 0, reset },
    { 6, parameters, 0 },
    { 8, bootloader, 0 },
};

const struct smp_group smp_os_group = {
    .id = 0,
    .commands = commands,
    .count = sizeof commands / sizeof commands[0],
    .general = general,
};
