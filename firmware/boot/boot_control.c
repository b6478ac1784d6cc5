/* What the application asks of the boot state. SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <string.h>

#include "boot.h"
#include "nv_crc.h"

void boot_hand_over(const struct boot *b, struct boot_handover *handover)
{
    memset(handover, 0, sizeof *handover);
    handover->magic = BOOT_HANDOVER_MAGIC;
    handover->bytes = sizeof *handover;
    for (uint32_t i = 0; i < BOOT_IMAGES; i++) {
        const uint32_t s = b->chosen[i];

        handover->slot[i] = b->chosen[i];
        handover->on_trial[i] = b->on_trial[i];
        handover->counter[i] = nv_counter_value(&b->counter[i]);
        handover->entry[i] = boot_entry(b, i);
        handover->status[i] = (uint32_t)b->status[i][s < BOOT_SLOTS ? s
                                                                    : b->state.image[i].active];
        if (s < BOOT_SLOTS) {
            memcpy(handover->version[i], b->image[i][s].header + 20, 8);
        }
    }
    handover->crc = nv_crc32(0, handover, offsetof(struct boot_handover, crc));
}

enum boot_status boot_handover_check(const struct boot_handover *handover)
{
    return handover->magic == BOOT_HANDOVER_MAGIC && handover->bytes == sizeof *handover
                   && handover->crc == nv_crc32(0, handover, offsetof(struct boot_handover, crc))
               ? BOOT_GOOD
               : BOOT_EMPTY;
}

enum boot_status boot_open(struct boot_control *control, const struct boot_config *config,
                           const struct boot_handover *handover)
{
    struct boot_state state;

    memset(control, 0, sizeof *control);
    control->config = config;
    control->state.area = config->state_area;
    control->state.endurance_cycles = config->endurance_cycles;
    for (uint32_t i = 0; i < BOOT_IMAGES; i++) {
        control->running[i] = handover ? handover->slot[i] : 0;
    }
    return boot_state_open(&control->state, &state);
}

static uint32_t is_on_trial(const struct boot_control *control, const struct boot_state *state)
{
    for (uint32_t i = 0; i < control->config->image_count; i++) {
        if (state->image[i].phase == BOOT_TRIAL) {
            return 1;
        }
        /* Where either slot runs, what runs may be the one that is not confirmed. */
        if (boot_mode(control->config) != BOOT_SWAP && control->running[i] != BOOT_NO_SLOT
            && control->running[i] != state->image[i].active) {
            return 1;
        }
    }
    return 0;
}

enum boot_phase boot_phase(const struct boot_control *control, uint32_t image)
{
    struct boot_state state;

    boot_state_get(&control->state, &state);
    return image < BOOT_IMAGES ? (enum boot_phase)state.image[image].phase : BOOT_STEADY;
}

uint32_t boot_confirmed_slot(const struct boot_control *control, uint32_t image)
{
    struct boot_state state;

    boot_state_get(&control->state, &state);
    if (image >= BOOT_IMAGES) {
        return BOOT_NO_SLOT;
    }
    return boot_mode(control->config) == BOOT_SWAP ? state.image[image].phase == BOOT_TRIAL
                                                   : state.image[image].active;
}

enum boot_status boot_update_slot(const struct boot_control *control, uint32_t image,
                                  uint32_t *slot)
{
    struct boot_state state;

    boot_state_get(&control->state, &state);
    if (image >= control->config->image_count) {
        return BOOT_ECONFIG;
    }
    if (is_on_trial(control, &state)) {
        return BOOT_EUNCONFIRMED;
    }
    *slot = boot_mode(control->config) == BOOT_SWAP ? 1 : state.image[image].active ^ 1u;
    return BOOT_GOOD;
}

enum boot_status boot_set_pending(struct boot_control *control, uint32_t mask,
                                  uint32_t permanent)
{
    struct boot_state state;

    boot_state_get(&control->state, &state);
    if (mask == 0 || mask >> control->config->image_count != 0) {
        return BOOT_ECONFIG;
    }
    if (is_on_trial(control, &state)) {
        return BOOT_EUNCONFIRMED;
    }
    if (!boot_state_has_room(&control->state, 1)) {
        return BOOT_EEXHAUSTED;
    }
    for (uint32_t i = 0; i < control->config->image_count; i++) {
        if (mask >> i & 1) {
            state.image[i].phase = permanent ? BOOT_PERMANENT : BOOT_PENDING;
        }
    }
    return boot_state_set(&control->state, &state);
}

enum boot_status boot_confirm(struct boot_control *control)
{
    struct boot_state state;

    boot_state_get(&control->state, &state);
    for (uint32_t i = 0; i < control->config->image_count; i++) {
        if (control->running[i] == BOOT_NO_SLOT) {
            continue;
        }
        const uint8_t running = boot_mode(control->config) == BOOT_SWAP ? 0 : control->running[i];

        if (state.image[i].phase == BOOT_TRIAL || state.image[i].active != running) {
            state.image[i].phase = BOOT_STEADY;
            state.image[i].active = running;
        }
    }
    return boot_state_set(&control->state, &state);
}
