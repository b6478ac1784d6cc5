/* Bytes in order into the slot that an update goes to. SPDX-License-Identifier: Apache-2.0 */
#include "slot.h"

#include <string.h>

#include "boot_trailer.h"

int slot_open(struct slot *slot, const struct nv_area *area)
{
    const int err = nv_area_check(area);

    if (err) {
        return err;
    }
    if (area->flash->erase_bytes % SLOT_HELD_BYTES != 0
        || SLOT_HELD_BYTES % area->flash->program_bytes != 0) {
        return FLASH_EALIGN;
    }
    const uint32_t trailer_bytes = boot_trailer_bytes(area);

    if (trailer_bytes >= area->bytes) {
        return FLASH_EBOUNDS;
    }
    memset(slot, 0, sizeof *slot);
    slot->area = *area;
    slot->room = area->bytes - trailer_bytes;
    slot->trailer = area->bytes;
    sha256_init(&slot->hash);
    return 0;
}

uint32_t slot_put(struct slot *slot, const uint8_t *bytes, uint32_t len)
{
    const uint32_t place = SLOT_HELD_BYTES - slot->held;
    const uint32_t taken = len < place ? len : place;

    memcpy(slot->bytes + slot->held, bytes, taken);
    slot->held += taken;
    return taken;
}

void slot_end(struct slot *slot)
{
    slot->is_ended = 1;
}

/* The unit at `at`, unless it reads erased: enough where nothing will be programmed. */
static int clean(const struct slot *slot, uint32_t at)
{
    const int erased = nv_area_is_erased(&slot->area, at, slot->area.flash->erase_bytes);

    return erased < 0 ? erased : erased ? 0 : nv_area_erase(&slot->area, at);
}

static int program(struct slot *slot)
{
    const uint32_t unit = slot->area.flash->program_bytes;
    const uint32_t whole = (slot->held + unit - 1) / unit * unit;

    memset(slot->bytes + slot->held, 0xff, whole - slot->held);
    const int err = nv_area_program(&slot->area, slot->written, slot->bytes, whole);

    if (err) {
        return err;
    }
    sha256_update(&slot->hash, slot->bytes, slot->held);
    slot->written += slot->held;
    slot->held = 0;
    return 0;
}

int slot_work(struct slot *slot)
{
    const uint32_t unit = slot->area.flash->erase_bytes;
    const int is_due = slot->held == SLOT_HELD_BYTES || (slot->is_ended && slot->held > 0);
    int err;

    if (slot->trailer > slot->room) {
        slot->trailer -= unit;
        err = clean(slot, slot->trailer);
    } else if (is_due && slot->written == slot->erased) {
        /* Erased even if it reads so: a cell torn by a power cut may, and take no program. */
        err = slot->erased < slot->room ? nv_area_erase(&slot->area, slot->erased)
                                        : FLASH_EBOUNDS;
        slot->erased += unit;
    } else if (is_due) {
        err = program(slot);
    } else if (slot->is_ended && slot->erased < slot->room) {
        err = clean(slot, slot->erased);
        slot->erased += unit;
    } else {
        return 0;
    }
    return err ? err : 1;
}

void slot_digest(struct slot *slot, uint8_t digest[SHA256_BYTES])
{
    sha256_final(&slot->hash, digest);
}
