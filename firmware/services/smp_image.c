/* SMP group 1, image. SPDX-License-Identifier: Apache-2.0 */
#include "smp_image.h"

#include <stddef.h>
#include <string.h>

#include "boot_slot.h"
#include "boot_trailer.h"
#include "delta.h"
#include "sha256.h"
#include "slot_writer.h"
#include "slots.h"

/* Reasons: MCUmgr's IMG_MGMT_ERR_*. */
enum {
    ENOIMAGE = 3,
    ETLV = 5,
    EHASHNOTFOUND = 8,
    ENOFREESLOT = 9,
    EREAD = 11,
    EWRITE = 12,
    EERASE = 13,
    ESLOT = 14,
    EOFFSET = 20,
    ELENGTH = 21,
    EHEADER = 22,
    EMAGIC = 23,
    EHASH = 24,
    EADDRESS = 25,
    ENEWER = 27,
    EPENDING = 28,
    ETOOLARGE = 30,
    EOVERRUN = 31,
    ECONFIRM = 32,
    EACTIVE = 33,
};

#define LOOK_UNITS 8u /* erase units that are looked at in one call */
#define SLOTS (BOOT_IMAGES * BOOT_SLOTS)

static int as_rc(enum boot_status status)
{
    switch (status) {
    case BOOT_GOOD:
        return SMP_OK;
    case BOOT_EMPTY:
        return SMP_GROUP(EMAGIC);
    case BOOT_EREAD:
        return SMP_GROUP(EREAD);
    case BOOT_ESIZE:
        return SMP_GROUP(ETOOLARGE);
    case BOOT_EHEADER:
        return SMP_GROUP(EHEADER);
    case BOOT_EADDRESS:
    case BOOT_EBOARD:
        return SMP_GROUP(EADDRESS);
    case BOOT_ECOUNTER:
    case BOOT_EVERSION:
        return SMP_GROUP(ENEWER);
    case BOOT_EUNCONFIRMED:
        return SMP_GROUP(ENOFREESLOT);
    case BOOT_EWRITE:
    case BOOT_EEXHAUSTED:
    case BOOT_ENOSTATE:
        return SMP_GROUP(EWRITE);
    default:
        return SMP_GROUP(ETLV);
    }
}

/* --- What is there. --- */

static void put_number(char **at, uint32_t value)
{
    char digits[10];
    uint32_t count = 0;

    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    while (count > 0) {
        *(*at)++ = digits[--count];
    }
}

/* As MCUmgr writes it: the build number only if there is one. */
static void put_version(struct cbor_writer *out, const struct boot_image_version *version)
{
    char text[24]; /* 255.255.65535.4294967295 */
    char *at = text;

    put_number(&at, version->major);
    *at++ = '.';
    put_number(&at, version->minor);
    *at++ = '.';
    put_number(&at, version->revision);
    if (version->build != 0) {
        *at++ = '.';
        put_number(&at, version->build);
    }
    cbor_put_text_bytes(out, text, (uint32_t)(at - text));
}

static void put_flag(struct cbor_writer *out, const char *key, int value)
{
    cbor_put_text(out, key);
    cbor_put_bool(out, value);
}

/* The slot that a pending image waits in. */
static uint32_t other_slot(const struct boot_control *control, uint32_t image)
{
    return control->config->mode == BOOT_SWAP ? 1 : boot_confirmed_slot(control, image) ^ 1u;
}

static int is_pending(const struct boot_control *control, uint32_t image, uint32_t slot)
{
    const enum boot_phase phase = boot_phase(control, image);

    return (phase == BOOT_PENDING || phase == BOOT_PERMANENT)
           && slot == other_slot(control, image);
}

static void put_image(struct cbor_writer *out, const struct boot_control *control,
                      uint32_t image, uint32_t slot)
{
    const struct slots_view *const view = slots_look(image, slot);
    const int waits = is_pending(control, image, slot);

    cbor_put_map(out, 9);
    cbor_put_text(out, "image");
    cbor_put_uint(out, image);
    cbor_put_text(out, "slot");
    cbor_put_uint(out, slot);
    cbor_put_text(out, "version");
    put_version(out, &view->version);
    cbor_put_text(out, "hash");
    cbor_put_bytes(out, view->hash, sizeof view->hash);
    put_flag(out, "bootable", 1);
    put_flag(out, "pending", waits);
    put_flag(out, "confirmed", boot_confirmed_slot(control, image) == slot);
    put_flag(out, "active", slots_running(image) == slot);
    put_flag(out, "permanent", waits && boot_phase(control, image) == BOOT_PERMANENT);
}

/* Judges a slot that was not yet; 0 if there is none left. */
static int look_at_one(void)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        if (!slots_is_known(i / BOOT_SLOTS, i % BOOT_SLOTS)) {
            (void)slots_look(i / BOOT_SLOTS, i % BOOT_SLOTS);
            return 1;
        }
    }
    return 0;
}

static int tell_state(struct smp_request *r)
{
    const struct boot_control *const control = slots_control();
    uint32_t count = 0;

    if (!control) {
        return SMP_GROUP(EREAD);
    }
    if (look_at_one()) {
        return SMP_AGAIN;
    }
    for (uint32_t i = 0; i < SLOTS; i++) {
        count += slots_look(i / BOOT_SLOTS, i % BOOT_SLOTS)->status == BOOT_GOOD;
    }
    cbor_put_map(&r->out, 2);
    cbor_put_text(&r->out, "images");
    cbor_put_array(&r->out, count);
    for (uint32_t i = 0; i < SLOTS; i++) {
        if (slots_look(i / BOOT_SLOTS, i % BOOT_SLOTS)->status == BOOT_GOOD) {
            put_image(&r->out, control, i / BOOT_SLOTS, i % BOOT_SLOTS);
        }
    }
    cbor_put_text(&r->out, "splitStatus");
    cbor_put_uint(&r->out, 0);
    return SMP_OK;
}

/* --- Which one is tried, which one kept. --- */

/* What the bootloader will ask of a replacement besides being valid. */
static int replaces(const struct slots_view *wanted, const struct slots_view *old)
{
    if (old->status != BOOT_GOOD) {
        return 1;
    }
    if (wanted->counter != old->counter) {
        return wanted->counter > old->counter;
    }
    return slots_config()->allow_downgrade == 1
           || boot_image_compare(&wanted->version, &old->version) >= 0;
}

static int request_trial(uint32_t image, uint32_t slot, uint32_t permanent)
{
    struct boot_control *const control = slots_control();

    if (slot != other_slot(control, image)) {
        return SMP_GROUP(EPENDING); /* a trial runs, and that slot is what it goes back to */
    }
    if (!replaces(slots_look(image, slot), slots_look(image, slot ^ 1u))) {
        return SMP_GROUP(ENEWER);
    }
    const enum boot_status status = boot_set_pending(control, 1u << image, permanent);

    return status == BOOT_EUNCONFIRMED ? SMP_GROUP(EPENDING) : as_rc(status);
}

static int write_state(struct smp_request *r)
{
    struct cbor_string hash = { 0 };
    uint32_t confirm = 0;
    const struct cbor_field fields[] = {
        { "hash", CBOR_BYTES, &hash },
        { "confirm", CBOR_BOOL, &confirm },
    };

    if (smp_read(r, fields, 2)) {
        return SMP_EINVAL;
    }
    if (!slots_control()) {
        return SMP_GROUP(EREAD);
    }
    if (look_at_one()) {
        return SMP_AGAIN; /* the answer tells the state, so all are needed */
    }
    if (hash.at ? hash.len != 32 : !confirm) {
        return SMP_GROUP(EHASH);
    }
    if (!hash.at) {
        return slots_confirm() == BOOT_GOOD ? tell_state(r) : SMP_GROUP(EWRITE);
    }
    /* One image may lie in both slots: then it is the one that runs. */
    uint32_t found = SLOTS;

    for (uint32_t i = 0; i < SLOTS; i++) {
        const struct slots_view *const view = slots_look(i / BOOT_SLOTS, i % BOOT_SLOTS);

        if (view->status == BOOT_GOOD && memcmp(view->hash, hash.at, sizeof view->hash) == 0
            && (found == SLOTS || slots_running(i / BOOT_SLOTS) == i % BOOT_SLOTS)) {
            found = i;
        }
    }
    if (found == SLOTS) {
        return SMP_GROUP(EHASHNOTFOUND);
    }
    const uint32_t image = found / BOOT_SLOTS;
    const uint32_t slot = found % BOOT_SLOTS;
    int rc;

    if (slots_running(image) == slot) {
        rc = !confirm                       ? SMP_GROUP(EACTIVE)
             : slots_confirm() == BOOT_GOOD ? SMP_OK
                                            : SMP_GROUP(EWRITE);
    } else {
        rc = request_trial(image, slot, confirm);
    }
    return rc ? rc : tell_state(r);
}

/* --- New images. --- */

/* The upload that goes on, or was the last to be completed. */
static struct {
    uint8_t is_open;   /* 0: none, or it failed */
    uint8_t has_sha;
    uint8_t is_patch;
    uint8_t is_upgrade; /* only a newer version is taken */
    uint8_t is_whole;  /* verified; `off` is `len` */
    uint32_t image;
    uint32_t slot;
    uint32_t len;
    uint32_t off;      /* bytes that came */
    union {
        struct slot_writer writer;
        struct delta delta; /* with a writer of its own */
    } to;
    struct sha256 patch_hash; /* of a patch, as it came */
    uint8_t sha[SHA256_BYTES];
} up;

/* Of one request. */
struct chunk {
    uint32_t image;
    uint32_t off;
    uint32_t len;
    uint32_t upgrade;
    struct cbor_string data;
    struct cbor_string sha;
};

void smp_image_start(void)
{
    memset(&up, 0, sizeof up);
}

static int fail(int rc)
{
    up.is_open = 0;
    up.off = 0;
    return rc;
}

/* The slot for a new image, if there is one. */
static int choose_slot(uint32_t image, uint32_t *slot)
{
    const struct boot_control *const control = slots_control();

    if (!control) {
        return SMP_GROUP(EREAD);
    }
    if (image >= BOOT_IMAGES) {
        return SMP_GROUP(ESLOT);
    }
    const enum boot_status status = boot_update_slot(control, image, slot);

    if (status != BOOT_GOOD) {
        return as_rc(status);
    }
    return *slot == slots_running(image) ? SMP_GROUP(ENOFREESLOT)
           : is_pending(control, image, *slot) ? SMP_GROUP(EPENDING)
                                               : SMP_OK;
}

static int check_newer(uint32_t image, const struct boot_image_version *version)
{
    const uint32_t running = slots_running(image);

    if (running != BOOT_NO_SLOT) {
        const struct slots_view *const old = slots_look(image, running);

        if (old->status == BOOT_GOOD && boot_image_compare(version, &old->version) <= 0) {
            return SMP_GROUP(ENEWER);
        }
    }
    return SMP_OK;
}

/* What the first bytes of an image say is wrong with it. */
static int check_header(const struct chunk *c, uint32_t slot)
{
    const struct boot_config *const config = slots_config();
    const struct boot_unit *const unit = &config->unit[c->image];
    const struct boot_image_source source = boot_image_in_memory(c->data.at, c->data.len);
    const struct boot_image_rules rules = boot_slot_rules(config, c->image, slot);
    const uint32_t room = boot_slot_room(&unit->slot[slot].area);
    struct boot_image image;

    if (c->len > room || (config->mode == BOOT_RAM && c->len > unit->ram_bytes)) {
        return SMP_GROUP(ETOOLARGE);
    }
    const enum boot_status status = boot_image_read_header(&image, &source, c->len);

    if (status != BOOT_GOOD) {
        return as_rc(status);
    }
    if (boot_image_check_place(&image, &rules) != BOOT_GOOD) {
        return SMP_GROUP(EADDRESS);
    }
    return c->upgrade ? check_newer(c->image, &image.version) : SMP_OK;
}

static int as_patch_rc(int error)
{
    switch (error) {
    case 0:
        return SMP_OK;
    case DELTA_EFORMAT:
        return SMP_GROUP(EMAGIC);
    case DELTA_EOLD:
        return SMP_GROUP(EHASHNOTFOUND);
    case DELTA_EROOM:
        return SMP_GROUP(ETOOLARGE);
    case DELTA_ESTREAM:
    case DELTA_ESHORT:
    case DELTA_EHASH:
        return SMP_GROUP(EHASH);
    case FLASH_EIO:
        return SMP_GROUP(EREAD);
    default:
        return SMP_GROUP(EWRITE);
    }
}

static int is_patch(const struct chunk *c)
{
    static const uint8_t magic[] = { 'T', 'S', 'D', 'P' };

    return c->data.len >= sizeof magic && memcmp(c->data.at, magic, sizeof magic) == 0;
}

/* What a patch's header says is wrong with it. */
static int check_patch(const struct chunk *c, uint32_t slot, struct delta_header *header)
{
    const struct boot_image_rules rules = boot_slot_rules(slots_config(), c->image, slot);
    const uint32_t running = slots_running(c->image);

    if (c->data.len < DELTA_HEADER_BYTES) {
        return SMP_GROUP(EHEADER);
    }
    const int error = delta_read_header(header, c->data.at);

    if (error) {
        return as_patch_rc(error);
    }
    if (header->image != c->image) {
        return SMP_GROUP(ESLOT);
    }
    if (c->len < DELTA_HEADER_BYTES || header->stream_bytes != c->len - DELTA_HEADER_BYTES) {
        return SMP_GROUP(ELENGTH);
    }
    if (rules.flag != 0 && header->new_base != rules.address) {
        return SMP_GROUP(EADDRESS);
    }
    return running == BOOT_NO_SLOT
               ? SMP_GROUP(EHASHNOTFOUND)
               : as_patch_rc(delta_check_old(
                   header, &slots_config()->unit[c->image].slot[running].area));
}

static int is_same(const struct chunk *c, uint32_t slot)
{
    return up.is_open && up.has_sha && c->sha.at && up.image == c->image && up.slot == slot
           && up.len == c->len && memcmp(up.sha, c->sha.at, sizeof up.sha) == 0;
}

static int open_upload(const struct chunk *c)
{
    uint32_t slot = 0;

    if (c->len == UINT32_MAX) {
        return SMP_GROUP(ELENGTH);
    }
    if (c->sha.at && c->sha.len != SHA256_BYTES) {
        return SMP_GROUP(EHASH);
    }
    int rc = choose_slot(c->image, &slot);

    if (rc || is_same(c, slot)) {
        return rc; /* it goes on where it was */
    }
    const struct boot_unit *const unit = &slots_config()->unit[c->image];
    struct delta_header header;

    rc = is_patch(c) ? check_patch(c, slot, &header) : check_header(c, slot);
    if (rc) {
        return rc;
    }
    memset(&up, 0, sizeof up);
    up.is_patch = (uint8_t)is_patch(c);
    if (up.is_patch) {
        rc = delta_open(&up.to.delta, &header, &unit->slot[slots_running(c->image)].area,
                        &unit->slot[slot].area);
    } else {
        rc = slot_writer_open(&up.to.writer, &unit->slot[slot].area);
    }
    if (rc) {
        return as_patch_rc(rc);
    }
    up.is_open = 1;
    up.is_upgrade = (uint8_t)c->upgrade;
    up.image = c->image;
    up.slot = slot;
    up.len = c->len;
    up.has_sha = c->sha.at != NULL;
    if (c->sha.at) {
        memcpy(up.sha, c->sha.at, sizeof up.sha);
    }
    sha256_init(&up.patch_hash);
    slots_forget(up.image, up.slot);
    return SMP_OK;
}

/* One flash operation. SMP_OK: all bytes are in, and nothing is left to do with them. */
static int write_image(const uint8_t *bytes, uint32_t len)
{
    struct slot_writer *const writer = &up.to.writer;

    for (;;) {
        const int worked = slot_writer_work(writer);

        if (worked) {
            return worked < 0 ? fail(as_patch_rc(worked)) : SMP_AGAIN;
        }
        if (len == 0) {
            return SMP_OK;
        }
        const uint32_t taken = slot_writer_put(writer, bytes, len);

        bytes += taken;
        len -= taken;
        up.off += taken;
        if (up.off == up.len) {
            slot_writer_end(writer);
        }
    }
}

/* Likewise. The header was read when the upload was opened. */
static int write_patch(const uint8_t *bytes, uint32_t len)
{
    uint32_t used = up.off < DELTA_HEADER_BYTES ? DELTA_HEADER_BYTES : 0;
    int state = DELTA_BUSY;

    if (used == 0) {
        state = delta_step(&up.to.delta, bytes, len, &used);
    }
    if (state < 0) {
        return fail(as_patch_rc(state));
    }
    sha256_update(&up.patch_hash, bytes, used);
    up.off += used;
    return state == DELTA_DONE || (state == DELTA_HUNGRY && used == len && up.off < up.len)
               ? SMP_OK
               : SMP_AGAIN;
}

/* An image that came whole: what its sender says it is, and what this board takes. */
static int verify(void)
{
    uint8_t digest[SHA256_BYTES];
    struct boot_image image;

    slots_forget(up.image, up.slot); /* somebody may have looked meanwhile */
    if (up.is_patch) {
        sha256_final(&up.patch_hash, digest);
    } else {
        slot_writer_digest(&up.to.writer, digest);
    }
    if (up.has_sha && memcmp(digest, up.sha, sizeof digest) != 0) {
        return SMP_GROUP(EHASH);
    }
    const enum boot_status status =
        boot_slot_preview(slots_config(), up.image, up.slot, slots_counter(up.image), &image);

    return status != BOOT_GOOD               ? as_rc(status)
           : up.is_patch && up.is_upgrade ? check_newer(up.image, &image.version)
                                             : SMP_OK;
}

static int go_on(struct smp_request *r, const struct chunk *c)
{
    const uint32_t done = up.off - c->off;
    const uint8_t *const bytes = c->data.at + done;
    const uint32_t len = c->data.len - done;
    int rc = up.is_patch ? write_patch(bytes, len) : write_image(bytes, len);

    if (rc) {
        return rc;
    }
    if (up.off == up.len && !up.is_whole) {
        rc = verify();
        if (rc) {
            return fail(rc);
        }
        up.is_whole = 1;
    }
    const int tells_match = up.is_whole && up.has_sha;

    cbor_put_map(&r->out, 1 + (uint32_t)tells_match);
    cbor_put_text(&r->out, "off");
    cbor_put_uint(&r->out, up.off);
    if (tells_match) {
        put_flag(&r->out, "match", 1); /* anything else is refused */
    }
    return SMP_OK;
}

static int tell_offset(struct smp_request *r)
{
    cbor_put_map(&r->out, 1);
    cbor_put_text(&r->out, "off");
    cbor_put_uint(&r->out, up.is_open ? up.off : 0);
    return SMP_OK;
}

static int upload(struct smp_request *r)
{
    struct chunk c = { .off = UINT32_MAX, .len = UINT32_MAX };
    const struct cbor_field fields[] = {
        { "image", CBOR_UINT, &c.image }, { "off", CBOR_UINT, &c.off },
        { "data", CBOR_BYTES, &c.data },  { "len", CBOR_UINT, &c.len },
        { "sha", CBOR_BYTES, &c.sha },    { "upgrade", CBOR_BOOL, &c.upgrade },
    };

    if (smp_read(r, fields, sizeof fields / sizeof fields[0])) {
        return SMP_EINVAL;
    }
    if (c.off == UINT32_MAX) {
        return SMP_GROUP(EOFFSET);
    }
    if (!c.data.at) {
        return SMP_EINVAL;
    }
    if (r->calls == 0) {
        const int rc = c.off == 0 ? open_upload(&c) : SMP_OK;

        if (rc) {
            return rc;
        }
        if (!up.is_open || c.off != up.off) {
            /* Out of turn: the client goes on where this says. The last chunk once more, or an
             * image that is there already, is answered as it was. */
            if (!up.is_open || !up.is_whole) {
                return tell_offset(r);
            }
            c.off = up.off;
            c.data.len = 0;
        }
        if (c.data.len > up.len - up.off) {
            return SMP_GROUP(EOVERRUN);
        }
    }
    return go_on(r, &c);
}

/* --- Erasing. --- */

static int erase_slot(struct smp_request *r)
{
    static uint32_t next; /* offset; the trailer comes first, then from the beginning */
    const struct boot_control *const control = slots_control();
    uint32_t number = 1, slot = 0;
    const struct cbor_field fields[] = { { "slot", CBOR_UINT, &number } };

    if (smp_read(r, fields, 1)) {
        return SMP_EINVAL;
    }
    if (number >= SLOTS) {
        return SMP_GROUP(ESLOT);
    }
    const uint32_t image = number / BOOT_SLOTS;
    const struct nv_area *const area =
        &slots_config()->unit[image].slot[number % BOOT_SLOTS].area;
    const uint32_t room = boot_slot_room(area);

    if (r->calls == 0) {
        const int rc = choose_slot(image, &slot);

        if (rc || slot != number % BOOT_SLOTS || !control) {
            return rc ? rc : SMP_GROUP(ENOFREESLOT);
        }
        if (up.image == image) {
            (void)fail(0);
        }
        slots_forget(image, slot);
        next = 0;
        return boot_trailer_clear(area) ? SMP_GROUP(EERASE) : SMP_AGAIN;
    }
    for (uint32_t i = 0; i < LOOK_UNITS && next < room; i++) {
        const uint32_t unit = area->flash->erase_bytes;
        const int is_erased = nv_area_is_erased(area, next, unit);

        if (is_erased < 0) {
            return SMP_GROUP(EREAD);
        }
        next += unit;
        if (!is_erased) {
            return nv_area_erase(area, next - unit) ? SMP_GROUP(EERASE) : SMP_AGAIN;
        }
    }
    return next < room ? SMP_AGAIN : SMP_OK;
}

/* --- The slots. --- */

static int tell_slots(struct smp_request *r)
{
    const struct boot_config *const config = slots_config();

    cbor_put_map(&r->out, 1);
    cbor_put_text(&r->out, "images");
    cbor_put_array(&r->out, BOOT_IMAGES);
    for (uint32_t i = 0; i < BOOT_IMAGES; i++) {
        const struct boot_unit *const unit = &config->unit[i];
        uint32_t free_slot = BOOT_NO_SLOT;

        if (choose_slot(i, &free_slot)) {
            free_slot = BOOT_NO_SLOT;
        }
        cbor_put_map(&r->out, 3);
        cbor_put_text(&r->out, "image");
        cbor_put_uint(&r->out, i);
        cbor_put_text(&r->out, "slots");
        cbor_put_array(&r->out, BOOT_SLOTS);
        for (uint32_t s = 0; s < BOOT_SLOTS; s++) {
            cbor_put_map(&r->out, s == free_slot ? 3 : 2);
            cbor_put_text(&r->out, "slot");
            cbor_put_uint(&r->out, s);
            cbor_put_text(&r->out, "size");
            cbor_put_uint(&r->out, unit->slot[s].area.bytes);
            if (s == free_slot) {
                cbor_put_text(&r->out, "upload_image_id");
                cbor_put_uint(&r->out, i);
            }
        }
        cbor_put_text(&r->out, "max_image_size");
        cbor_put_uint(&r->out, boot_slot_room(&unit->slot[0].area));
    }
    return SMP_OK;
}

static enum smp_error general(int rc)
{
    switch (rc) {
    case ENOIMAGE:
    case EHASHNOTFOUND:
        return SMP_ENOENT;
    case ENOFREESLOT:
    case EPENDING:
    case ENEWER:
    case EACTIVE:
    case ECONFIRM:
        return SMP_EBADSTATE;
    case EREAD:
    case EWRITE:
    case EERASE:
        return SMP_EUNKNOWN;
    default:
        return SMP_EINVAL;
    }
}

static const struct smp_command commands[] = {
    { 0, tell_state, write_state },
    { 1, 0, upload },
    { 5, 0, erase_slot },
    { 6, tell_slots, 0 },
};

const struct smp_group smp_image_group = {
    .id = 1,
    .commands = commands,
    .count = sizeof commands / sizeof commands[0],
    .general = general,
};
