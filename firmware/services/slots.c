/* The slots of both images, as the running application sees them. SPDX-License-Identifier: Apache-2.0 */
#include "slots.h"

#include <stddef.h>
#include <string.h>

#include "boot_slot.h"

static const struct boot_config *config;
static const struct boot_handover *handover;
static struct boot_control control;
static struct slots_view views[BOOT_IMAGES][BOOT_SLOTS]; /* status 0: not looked at */

void slots_start(const struct boot_config *with, const struct boot_handover *left)
{
    config = with;
    handover = left;
    memset(&control, 0, sizeof control);
    memset(views, 0, sizeof views);
}

const struct boot_config *slots_config(void)
{
    return config;
}

struct boot_control *slots_control(void)
{
    if (!control.config && boot_open(&control, config, handover) != BOOT_GOOD) {
        control.config = NULL; /* the next call tries again */
        return NULL;
    }
    return &control;
}

uint32_t slots_running(uint32_t image)
{
    return handover ? handover->slot[image] : BOOT_NO_SLOT;
}

uint32_t slots_counter(uint32_t image)
{
    return handover ? handover->counter[image] : 0;
}

uint32_t slots_verdict(uint32_t image)
{
    return handover ? handover->status[image] : 0;
}

enum boot_status slots_confirm(void)
{
    struct boot_control *const open = handover ? slots_control() : NULL;

    return open ? boot_confirm(open) : BOOT_ENOSTATE;
}

int slots_is_known(uint32_t image, uint32_t slot)
{
    return views[image][slot].status != 0;
}

const struct slots_view *slots_look(uint32_t image, uint32_t slot)
{
    struct slots_view *const view = &views[image][slot];
    struct boot_image read;

    if (view->status == 0) {
        view->status = boot_slot_check(config, image, slot, slots_counter(image), &read);
        if (view->status == BOOT_GOOD) {
            view->version = read.version;
            view->counter = read.counter;
            memcpy(view->hash, read.hash, sizeof view->hash);
        }
    }
    return view;
}

void slots_forget(uint32_t image, uint32_t slot)
{
    memset(&views[image][slot], 0, sizeof views[image][slot]);
}
