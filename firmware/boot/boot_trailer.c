/* The end of a slot: MCUboot's trailer, read as a request. SPDX-License-Identifier: Apache-2.0 */
#include "boot_trailer.h"

#include <string.h>

#define MAGIC_BYTES 16u
#define MIN_ALIGN 8u
#define IMAGE_OK 0x01

/* The magic of an alignment of up to 8; above it, the first two bytes are the alignment and the
 * rest is other. Values as imgtool has them. */
static const uint8_t magic_8[MAGIC_BYTES] = { 0x77, 0xc2, 0x95, 0xf3, 0x60, 0xd2, 0xef, 0x7f,
                                              0x35, 0x52, 0x50, 0x0f, 0x2c, 0xb6, 0x79, 0x80 };
static const uint8_t magic_more[MAGIC_BYTES - 2] = { 0x2d, 0xe1, 0x5d, 0x29, 0x41, 0x0b, 0x8d,
                                                     0x77, 0x67, 0x9c, 0x11, 0x0f, 0x1f, 0x8a };

static uint32_t alignment(const struct nv_area *slot)
{
    const uint32_t unit = slot->flash->program_bytes;

    return unit > MIN_ALIGN ? unit : MIN_ALIGN;
}

/* From the end: magic, image_ok, copy_done, swap_info, swap_size; the last three are unused. */
static uint32_t magic_room(uint32_t align)
{
    return align > MAGIC_BYTES ? align : MAGIC_BYTES;
}

uint32_t boot_trailer_bytes(const struct nv_area *slot)
{
    const uint32_t align = alignment(slot);
    const uint32_t unit = slot->flash->erase_bytes;

    if (slot->bytes == unit) {
        return 0;
    }
    return (magic_room(align) + 4 * align + unit - 1) / unit * unit;
}

int boot_trailer_read(const struct nv_area *slot)
{
    const uint32_t align = alignment(slot);
    uint8_t magic[MAGIC_BYTES];
    uint8_t image_ok;

    if (boot_trailer_bytes(slot) == 0) {
        return BOOT_TRAILER_NONE;
    }
    int err = nv_area_read(slot, slot->bytes - MAGIC_BYTES, magic, sizeof magic);

    if (err) {
        return err;
    }
    if (align == MIN_ALIGN ? memcmp(magic, magic_8, sizeof magic_8) != 0
                           : magic[0] != align || magic[1] != 0
                                 || memcmp(magic + 2, magic_more, sizeof magic_more) != 0) {
        return BOOT_TRAILER_NONE;
    }
    err = nv_area_read(slot, slot->bytes - magic_room(align) - align, &image_ok, 1);
    if (err) {
        return err;
    }
    return image_ok == IMAGE_OK ? BOOT_TRAILER_PERMANENT : BOOT_TRAILER_TEST;
}

int boot_trailer_clear(const struct nv_area *slot)
{
    const uint32_t bytes = boot_trailer_bytes(slot);

    for (uint32_t at = slot->bytes - bytes; at < slot->bytes; at += slot->flash->erase_bytes) {
        const int erased = nv_area_is_erased(slot, at, slot->flash->erase_bytes);
        const int err = erased < 0 ? erased : erased ? 0 : nv_area_erase(slot, at);

        if (err) {
            return err;
        }
    }
    return 0;
}
