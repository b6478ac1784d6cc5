/* The images that run. SPDX-License-Identifier: Apache-2.0 */
#include "images.h"

#include <stddef.h>
#include <stdint.h>

#include "boot.h"
#include "boot_setup.h"
#include "hal.h"
#include "link.h"
#include "model.h"
#include "out.h"
#include "slots.h"
#include "status.h"

static struct boot_config config;
static const struct boot_handover *handover; /* null: no bootloader has left one */
static int model_status = STATUS_EMODEL;

void images_start(void)
{
    const struct boot_handover *const left = (const struct boot_handover *)(void *)link_handover;

    boot_setup(&config);
    handover = boot_handover_check(left) == BOOT_GOOD ? left : NULL;
    slots_start(&config, handover);
    if (!handover) {
        return;
    }
    if (handover->entry[BOOT_CAPSULE] != 0) {
        model_status =
            model_mount((const struct capsule *)(uintptr_t)handover->entry[BOOT_CAPSULE]);
    }
}

int images_confirm(void)
{
    return slots_confirm() == BOOT_GOOD ? STATUS_OK : STATUS_EBOOT;
}

static void out_version(const uint32_t words[2])
{
    out_u64(words[0] & 0xffu);
    out_text(".");
    out_u64((words[0] >> 8) & 0xffu);
    out_text(".");
    out_u64(words[0] >> 16);
    out_text("+");
    out_u64(words[1]);
}

/* Whether an image is kept: one that was on trial is, once it is confirmed. */
static const char *standing(uint32_t image)
{
    if (!handover->on_trial[image]) {
        return "confirmed";
    }
    struct boot_control *const control = slots_control();

    return control && boot_phase(control, image) == BOOT_STEADY ? "confirmed" : "trial";
}

static void tell(uint32_t image)
{
    static const char *const names[BOOT_IMAGES] = { "image app ", "image capsule " };

    out_text(names[image]);
    if (!handover) {
        out_text("- - - unbooted\r\n");
        return;
    }
    if (handover->slot[image] == BOOT_NO_SLOT || handover->entry[image] == 0) {
        const enum boot_status status = (enum boot_status)handover->status[image];

        out_text("- - - ");
        /* Good by itself and not chosen: it does not go with the application. */
        out_text(boot_status_text(status == BOOT_GOOD ? BOOT_EDEPENDENCY : status));
        out_end();
        return;
    }
    out_text(handover->slot[image] == 0 ? "a " : "b ");
    out_version(handover->version[image]);
    out_text(" ");
    out_u64(handover->counter[image]);
    out_text(" ");
    if (image == BOOT_CAPSULE && model_status != STATUS_OK) {
        out_text(status_text(model_status));
    } else {
        out_text(standing(image));
    }
    out_end();
}

void images_tell(void)
{
    tell(BOOT_APP);
    tell(BOOT_CAPSULE);
}
