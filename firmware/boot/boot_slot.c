/* One slot: what an image in it must satisfy, and whether it does.
 * SPDX-License-Identifier: Apache-2.0 */
#include "boot_slot.h"

#include "boot_trailer.h"

uint32_t boot_slot_room(const struct nv_area *area)
{
    return area->bytes - boot_trailer_bytes(area);
}

struct boot_image_rules boot_slot_rules(const struct boot_config *c, uint32_t i, uint32_t s)
{
    struct boot_image_rules rules = {
        .keys = c->keys,
        .key_count = c->key_count,
        .vendor_id = c->vendor_id,
        .class_id = c->unit[i].class_id,
        .address = c->unit[i].slot[boot_mode(c) == BOOT_XIP ? s : 0].address,
        .flag = boot_mode(c) == BOOT_XIP ? BOOT_IMAGE_ROM_FIXED : 0,
    };

    if (boot_mode(c) == BOOT_RAM) {
        rules.address = c->unit[i].ram_address;
        rules.flag = BOOT_IMAGE_RAM_LOAD;
    }
    return rules;
}

enum boot_status boot_slot_preview(const struct boot_config *c, uint32_t i, uint32_t s,
                                   uint32_t counter, struct boot_image *image)
{
    const struct nv_area *area = &c->unit[i].slot[s].area;
    const struct boot_image_source source = boot_image_in_area(area, boot_slot_room(area));
    const struct boot_image_rules rules = boot_slot_rules(c, i, s);
    enum boot_status status = boot_image_read(image, &source);

    if (status == BOOT_GOOD) {
        status = boot_image_check_rules(image, &rules);
    }
    if (status != BOOT_GOOD) {
        return status;
    }
    if (boot_mode(c) == BOOT_RAM && image->total_bytes > c->unit[i].ram_bytes) {
        return BOOT_ESIZE;
    }
    return image->counter >= counter ? BOOT_GOOD : BOOT_ECOUNTER;
}

enum boot_status boot_slot_check(const struct boot_config *c, uint32_t i, uint32_t s,
                                 uint32_t counter, struct boot_image *image)
{
    const struct nv_area *area = &c->unit[i].slot[s].area;
    const struct boot_image_source source = boot_image_in_area(area, boot_slot_room(area));
    const struct boot_image_rules rules = boot_slot_rules(c, i, s);
    uint32_t flow = 0;
    enum boot_status status = boot_slot_preview(c, i, s, counter, image);

    if (status != BOOT_GOOD) {
        return status;
    }
    const uint32_t is_encrypted = image->wrapped_bytes != 0;

    if (is_encrypted && c->takes_encrypted != 1) {
        return BOOT_ENCRYPTED;
    }
    if (!is_encrypted || boot_mode(c) == BOOT_SWAP) {
        /* What was swapped out lies there decrypted. */
        status = boot_image_check(image, &source, &source, &rules, &flow);
    }
    if (is_encrypted && (status == BOOT_EHASH || boot_mode(c) == BOOT_RAM)) {
        status = boot_image_check_sealed(image, &source, &rules);
    }
    return status;
}
