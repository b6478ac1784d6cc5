/* Bytes in order into the slot that an update goes to. SPDX-License-Identifier: Apache-2.0 */
#include "slot_writer.h"

#include <string.h>

#include "boot_trailer.h"

int slot_writer_open(struct slot_writer *writer, const struct nv_area *area)
{
    const int err = nv_area_check(area);

    if (err) {
        return err;
    }
    const uint32_t unit = area->flash->erase_bytes;
    const uint32_t piece = unit < SLOT_WRITER_PIECE ? unit : SLOT_WRITER_PIECE;

    if (unit % piece != 0 || piece % area->flash->program_bytes != 0) {
        return FLASH_EALIGN;
    }
    const uint32_t trailer_bytes = boot_trailer_bytes(area);

    if (trailer_bytes >= area->bytes) {
        return FLASH_EBOUNDS;
    }
    memset(writer, 0, sizeof *writer);
    writer->area = *area;
    writer->room = area->bytes - trailer_bytes;
    writer->trailer = area->bytes;
    writer->piece = piece;
    sha256_init(&writer->hash);
    return 0;
}

uint32_t slot_writer_put(struct slot_writer *writer, const uint8_t *bytes, uint32_t len)
{
    const uint32_t place = writer->piece - writer->held;
    const uint32_t taken = len < place ? len : place;

    memcpy(writer->bytes + writer->held, bytes, taken);
    writer->held += taken;
    return taken;
}

int slot_writer_is_full(const struct slot_writer *writer)
{
    return writer->held == writer->piece;
}

void slot_writer_end(struct slot_writer *writer)
{
    writer->is_ended = 1;
}

/* The unit at `at`, unless it reads erased: enough where nothing will be programmed. */
static int clean(const struct slot_writer *writer, uint32_t at)
{
    const int erased = nv_area_is_erased(&writer->area, at, writer->area.flash->erase_bytes);

    return erased < 0 ? erased : erased ? 0 : nv_area_erase(&writer->area, at);
}

static int program(struct slot_writer *writer)
{
    const uint32_t unit = writer->area.flash->program_bytes;
    const uint32_t whole = (writer->held + unit - 1) / unit * unit;

    memset(writer->bytes + writer->held, 0xff, whole - writer->held);
    const int err = nv_area_program(&writer->area, writer->written, writer->bytes, whole);

    if (err) {
        return err;
    }
    sha256_update(&writer->hash, writer->bytes, writer->held);
    writer->written += writer->held;
    writer->held = 0;
    return 0;
}

int slot_writer_work(struct slot_writer *writer)
{
    const uint32_t unit = writer->area.flash->erase_bytes;
    const int is_due = slot_writer_is_full(writer) || (writer->is_ended && writer->held > 0);
    int err;

    if (writer->trailer > writer->room) {
        writer->trailer -= unit;
        err = clean(writer, writer->trailer);
    } else if (is_due && writer->written == writer->erased) {
        /* Erased even if it reads so: a cell torn by a power cut may, and take no program. */
        err = writer->erased < writer->room ? nv_area_erase(&writer->area, writer->erased)
                                            : FLASH_EBOUNDS;
        writer->erased += unit;
    } else if (is_due) {
        err = program(writer);
    } else if (writer->is_ended && writer->erased < writer->room) {
        err = clean(writer, writer->erased);
        writer->erased += unit;
    } else {
        return 0;
    }
    return err ? err : 1;
}

void slot_writer_digest(struct slot_writer *writer, uint8_t digest[SHA256_BYTES])
{
    sha256_final(&writer->hash, digest);
}
