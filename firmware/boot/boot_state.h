/* The state register: what the bootloader must not forget over a restart.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A counter (nv_counter.h) whose value modulo 65536 is the state. To change the state is to
 * count up to the next value that says so: the counter's proof against power cuts at any place,
 * its even wear and its settled reads are the register's. */
#ifndef BOOT_STATE_H
#define BOOT_STATE_H

#include <stdint.h>

#include "boot_status.h"
#include "nv_counter.h"

#define BOOT_STATE_IMAGES 2
#define BOOT_STATE_MAX_STEPS 0x1000u

struct boot_state_image {
    uint8_t phase;  /* enum boot_phase */
    uint8_t active; /* the confirmed slot; always 0 where slots are swapped */
};

/* What a swap is made for. */
enum boot_state_purpose {
    BOOT_STATE_TEST = 0,
    BOOT_STATE_KEEP = 1,
    BOOT_STATE_BACK = 2,
};

struct boot_state {
    struct boot_state_image image[BOOT_STATE_IMAGES];
    uint32_t swapping; /* mask of the images whose slots are being swapped; 0: none */
    enum boot_state_purpose purpose;
    uint32_t step; /* all before it are done */
};

/* Mounts the register, or starts a new one in a blank area, all zero. BOOT_EEXHAUSTED: it can be
 * read and not be changed. BOOT_ENOSTATE: cannot be read; *state is zero. */
enum boot_status boot_state_open(struct nv_counter *counter, struct boot_state *state);

void boot_state_get(const struct nv_counter *counter, struct boot_state *state);

/* While swapping is not 0 the images' own fields are not kept. Does nothing if the register says
 * so already. */
enum boot_status boot_state_set(struct nv_counter *counter, const struct boot_state *state);

/* Mounts a counter, or starts it at 0 in a blank area. */
int boot_state_mount(struct nv_counter *counter);

/* 1 if `commits` more, some restarts and jumps surely fit before the counter is worn out. */
int boot_state_has_room(const struct nv_counter *counter, uint32_t commits);

#endif
