/* The end of a slot: MCUboot's trailer, read as a request. SPDX-License-Identifier: Apache-2.0 */
#ifndef BOOT_TRAILER_H
#define BOOT_TRAILER_H

#include <stdint.h>

#include "nv_area.h"

enum boot_trailer_request {
    BOOT_TRAILER_NONE = 0,
    BOOT_TRAILER_TEST = 1,      /* magic: imgtool --pad */
    BOOT_TRAILER_PERMANENT = 2, /* magic and image_ok: imgtool --pad --confirm */
};

/* Bytes at the end of a slot that no image may use, in whole erase units. A slot that is a single
 * one has no trailer, which could not be cleared without the image: 0, and never a request. */
uint32_t boot_trailer_bytes(const struct nv_area *slot);

/* A request or a negative error of flash.h. */
int boot_trailer_read(const struct nv_area *slot);

/* Erases the trailer's erase units, unless they are erased. */
int boot_trailer_clear(const struct nv_area *slot);

#endif
