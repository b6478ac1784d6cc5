/* The slots of both images, as the running application sees them. SPDX-License-Identifier: Apache-2.0
 *
 * Verdicts are kept until a slot is changed: judging one means to hash it and to verify a
 * signature. */
#ifndef SLOTS_H
#define SLOTS_H

#include <stdint.h>

#include "boot.h"

struct slots_view {
    enum boot_status status; /* BOOT_GOOD: the bootloader would take it; else the rest is void */
    struct boot_image_version version;
    uint32_t counter; /* the image's security counter */
    uint8_t hash[32]; /* what the signature is over */
};

/* handover: NULL when no bootloader has left one. Call once. */
void slots_start(const struct boot_config *config, const struct boot_handover *handover);

const struct boot_config *slots_config(void);

/* The state register, opened at the first call: that costs two of its words. NULL if it cannot be
 * opened. */
struct boot_control *slots_control(void);

/* The slot an image runs from, or BOOT_NO_SLOT. */
uint32_t slots_running(uint32_t image);

/* This board's security counter for an image. */
uint32_t slots_counter(uint32_t image);

/* What the bootloader said of it (enum boot_status); 0: nothing. */
uint32_t slots_verdict(uint32_t image);

/* Keeps what runs. Nothing is written if it is kept already. */
enum boot_status slots_confirm(void);

/* Whether the verdict is there, so that slots_look() costs nothing. */
int slots_is_known(uint32_t image, uint32_t slot);
const struct slots_view *slots_look(uint32_t image, uint32_t slot);

/* To be called before a slot is changed. */
void slots_forget(uint32_t image, uint32_t slot);

#endif
