/* Decides what runs: two images of two slots each, tried, confirmed or reverted.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Image 0 is the application, image 1 the capsule. What is known of them between restarts (which
 * slot is the good one, what is on trial, how far a swap has come) is in the state register: a
 * counter of firmware/nv whose value carries it, so that no power cut leaves it half written.
 * A trailer as imgtool --pad writes it (MCUboot's magic, image_ok) is a request, taken over into
 * the register and erased; the last erase unit of every slot is kept for it.
 *
 * The bootloader calls boot_run(), then jumps where boot_entry() says. The application calls
 * boot_open() and then the functions of the second half. */
#ifndef BOOT_H
#define BOOT_H

#include <stdint.h>

#include "boot_board.h"
#include "boot_image.h"
#include "boot_state.h"
#include "boot_status.h"
#include "nv_counter.h"

/* What the bootloader found; the console may tell. Small things first: a Cortex-M0 reaches no
 * byte beyond 31 and no word beyond 124 without computing where it is. */
struct boot {
    const struct boot_config *config;
    uint8_t chosen[BOOT_IMAGES];   /* slot, or BOOT_NO_SLOT */
    uint8_t on_trial[BOOT_IMAGES]; /* 1: runs unconfirmed, and is reverted at the next start */
    struct boot_state state;       /* the module's own, as all below that is not described */
    enum boot_status state_status;
    enum boot_status counter_status[BOOT_IMAGES];
    enum boot_status request[BOOT_IMAGES]; /* why one was refused or reverted; 0: none */
    enum boot_status status[BOOT_IMAGES][BOOT_SLOTS]; /* 0: that slot was not looked at */
    uint32_t fresh; /* mask of images swapped in at this start, for their trial */
    uint32_t flow;
    uint32_t first_look[BOOT_IMAGES][BOOT_SLOTS]; /* flows */
    uint32_t second_look[BOOT_IMAGES];
    uint8_t as_is[BOOT_IMAGES][BOOT_SLOTS]; /* 1: flagged encrypted, but lies there decrypted */
    struct nv_counter state_counter;
    struct nv_counter counter[BOOT_IMAGES];
    struct boot_image image[BOOT_IMAGES][BOOT_SLOTS];
};

/* Picks and verifies what runs. BOOT_GOOD: the application may be entered; the capsule, too, if
 * one was chosen: without a capsule that is valid and fits, the application runs alone. Always
 * returns; any other status says what is wrong with the application in use. */
enum boot_status boot_run(struct boot *boot, const struct boot_config *config);

/* Address of the payload of an image that boot_run() chose, after its header. A flow that left
 * out or repeated a step yields 0. */
uint32_t boot_entry(const struct boot *boot, uint32_t image);

/* How the bootloader tells the application; in RAM that start-up leaves alone. */
#define BOOT_HANDOVER_MAGIC 0x484f5354u
struct boot_handover {
    uint32_t magic;
    uint32_t bytes;               /* of this struct: its version */
    uint32_t entry[BOOT_IMAGES];  /* address of the payload, 0: none */
    uint32_t version[BOOT_IMAGES][2]; /* as in the header: major, minor, revision; build */
    uint32_t status[BOOT_IMAGES]; /* enum boot_status: GOOD, or why there is none */
    uint32_t counter[BOOT_IMAGES]; /* this board's security counter for it */
    uint8_t slot[BOOT_IMAGES];    /* it runs from, or BOOT_NO_SLOT */
    uint8_t on_trial[BOOT_IMAGES];
    uint32_t crc;                 /* CRC-32 of what is before it */
};

void boot_hand_over(const struct boot *boot, struct boot_handover *handover);

/* BOOT_GOOD if it is one that a bootloader left. */
enum boot_status boot_handover_check(const struct boot_handover *handover);

/* --- For the application. --- */

enum boot_phase {
    BOOT_STEADY = 0,    /* the image in use is confirmed */
    BOOT_PENDING = 1,   /* the other slot is tried at the next start */
    BOOT_PERMANENT = 2, /* likewise, and is confirmed by being valid */
    BOOT_TRIAL = 3,     /* the image in use is reverted at the next start, unless confirmed */
};

struct boot_control {
    const struct boot_config *config;
    struct nv_counter state;
    uint8_t running[BOOT_IMAGES]; /* slot, or BOOT_NO_SLOT */
};

/* handover: NULL when there was none; then slot 0 is taken to run. */
enum boot_status boot_open(struct boot_control *control, const struct boot_config *config,
                           const struct boot_handover *handover);

enum boot_phase boot_phase(const struct boot_control *control, uint32_t image);

/* The slot with the confirmed image: that which runs, unless an image is on trial. */
uint32_t boot_confirmed_slot(const struct boot_control *control, uint32_t image);

/* The slot that a new image of this kind is written to; BOOT_EUNCONFIRMED while anything is on
 * trial, since that slot then holds the only confirmed image. */
enum boot_status boot_update_slot(const struct boot_control *control, uint32_t image,
                                  uint32_t *slot);

/* Has the images in `mask` (bit 0 the application, bit 1 the capsule) tried at the next start,
 * together. permanent: 1 to keep them without a trial. Nothing is verified here. */
enum boot_status boot_set_pending(struct boot_control *control, uint32_t mask,
                                  uint32_t permanent);

/* Keeps what runs. The security counters follow at the next start. */
enum boot_status boot_confirm(struct boot_control *control);

#endif
