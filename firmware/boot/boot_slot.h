/* One slot: what an image in it must satisfy, and whether it does.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef BOOT_SLOT_H
#define BOOT_SLOT_H

#include "boot_board.h"

/* Bytes at the beginning of a slot that an image may take. */
uint32_t boot_slot_room(const struct nv_area *area);

/* For the bootloader's judgement and for whoever wants to know it beforehand. */
struct boot_image_rules boot_slot_rules(const struct boot_config *config, uint32_t image,
                                        uint32_t slot);

/* Reads an image and judges what can be judged without its payload and signature: form, size,
 * place, board, and its security counter against `counter`, this board's. */
enum boot_status boot_slot_preview(const struct boot_config *config, uint32_t image,
                                   uint32_t slot, uint32_t counter, struct boot_image *read);

/* As the bootloader judges an image by itself: all of the above, hash and signature. Of what is
 * encrypted only the bootloader can tell whether its payload fits the hash that was signed. For
 * the application, to tell; nothing is entered on its word. */
enum boot_status boot_slot_check(const struct boot_config *config, uint32_t image, uint32_t slot,
                                 uint32_t counter, struct boot_image *read);

#endif
