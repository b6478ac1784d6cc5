/* The state register. SPDX-License-Identifier: Apache-2.0 */
#include "boot_state.h"

#include <string.h>

#define KIND_SHIFT 12
#define MASKS 3u
#define RESTARTS_WORDS 16u

int boot_state_mount(struct nv_counter *counter)
{
    const int err = nv_counter_mount(counter);

    /* A cut while it is started leaves it blank, so this starts once and never over. */
    return err == NV_COUNTER_EBLANK ? nv_counter_format(counter, 0) : err;
}

int boot_state_has_room(const struct nv_counter *counter, uint32_t commits)
{
    /* A jump of 65536 or more opens a sector and wastes the rest of the last; as many words as
     * the sector has bytes are at least four sectors, the most that one update jumps over. */
    const uint32_t spare = counter->area.flash->erase_bytes + RESTARTS_WORDS;
    const uint32_t headroom = nv_counter_headroom(counter);

    return headroom >= spare && headroom - spare >= commits;
}

static uint32_t encode(const struct boot_state *s)
{
    if (s->swapping) {
        return ((uint32_t)s->purpose * MASKS + s->swapping) << KIND_SHIFT | s->step;
    }
    return (uint32_t)s->image[0].phase | (uint32_t)s->image[0].active << 2
           | (uint32_t)s->image[1].phase << 4 | (uint32_t)s->image[1].active << 6;
}

void boot_state_get(const struct nv_counter *counter, struct boot_state *state)
{
    const uint32_t field = nv_counter_value(counter) & 0xffffu;
    const uint32_t kind = field >> KIND_SHIFT;

    memset(state, 0, sizeof *state);
    if (kind >= 1 && kind <= 3 * MASKS) {
        state->purpose = (enum boot_state_purpose)((kind - 1) / MASKS);
        state->swapping = (kind - 1) % MASKS + 1;
        state->step = field & (BOOT_STATE_MAX_STEPS - 1);
    } else {
        for (uint32_t i = 0; i < BOOT_STATE_IMAGES; i++) {
            state->image[i].phase = field >> (4 * i) & 3;
            state->image[i].active = field >> (4 * i + 2) & 1;
        }
    }
}

enum boot_status boot_state_open(struct nv_counter *counter, struct boot_state *state)
{
    const int err = boot_state_mount(counter);

    memset(state, 0, sizeof *state);
    if (err && err != NV_COUNTER_EEXHAUSTED) {
        return BOOT_ENOSTATE;
    }
    boot_state_get(counter, state);
    return err ? BOOT_EEXHAUSTED : BOOT_GOOD;
}

enum boot_status boot_state_set(struct nv_counter *counter, const struct boot_state *state)
{
    const uint32_t by = (encode(state) - nv_counter_value(counter)) & 0xffffu;

    if (by == 0) {
        return BOOT_GOOD;
    }
    const int err = nv_counter_advance(counter, by);

    return err == NV_COUNTER_EEXHAUSTED ? BOOT_EEXHAUSTED : err ? BOOT_EWRITE : BOOT_GOOD;
}
