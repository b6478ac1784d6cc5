/* The images that run. SPDX-License-Identifier: Apache-2.0 */
#include "images.h"

#include <stdint.h>

#include "boot_setup.h"
#include "hal.h"
#include "link.h"
#include "model.h"
#include "out.h"
#include "status.h"

static struct boot_config config;
static struct boot_control control;
static const struct boot_handover *handover; /* null: no bootloader has left one */
static int model_status = STATUS_EMODEL;
static int has_answered;

static int is_on_trial(void)
{
    for (uint32_t i = 0; handover && i < BOOT_IMAGES; i++) {
        if (handover->on_trial[i]) {
            return 1;
        }
    }
    return 0;
}

void images_start(void)
{
    const struct boot_handover *const left = (const struct boot_handover *)(void *)link_handover;

    boot_setup(&config);
    if (boot_handover_check(left) != BOOT_GOOD) {
        return;
    }
    handover = left;
    if (handover->entry[BOOT_CAPSULE] != 0) {
        model_status =
            model_mount((const struct capsule *)(uintptr_t)handover->entry[BOOT_CAPSULE]);
    }
}

const struct boot_config *images_config(void)
{
    return &config;
}

int images_confirm(void)
{
    if (!is_on_trial()) {
        return STATUS_OK;
    }
    /* Opened only now: opening the state register costs two of its words. */
    if (boot_open(&control, &config, handover) != BOOT_GOOD ||
        boot_confirm(&control) != BOOT_GOOD) {
        return STATUS_EBOOT;
    }
    return STATUS_OK;
}

void images_answered(void)
{
    if (!has_answered) {
        has_answered = images_confirm() == STATUS_OK;
    }
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
    return control.config && boot_phase(&control, image) == BOOT_STEADY ? "confirmed" : "trial";
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
