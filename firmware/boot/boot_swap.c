/* Exchanges what two slots hold, cut by cut. SPDX-License-Identifier: Apache-2.0 */
#include "boot_swap.h"

#include <string.h>

#include "boot_board.h"
#include "boot_decrypt.h"
#include "boot_trailer.h"

#define CHUNK_BYTES 64u

/* One image's swap. */
struct job {
    const struct boot_config *config;
    const struct nv_area *area[BOOT_SLOTS];
    uint32_t unit_bytes;
    uint32_t units;   /* that are swapped: all but the trailer's */
    uint32_t swapped; /* of slot 0's units, those that hold the new image already */
    uint32_t is_encrypted;
    struct boot_image image; /* the new one, if it is encrypted */
    struct aes_ctr aes;
};

static uint32_t units_of(const struct nv_area *area)
{
    return (area->bytes - boot_trailer_bytes(area)) / area->flash->erase_bytes;
}

/* Move up, exchange, and the trailer erased at the end. */
static uint32_t steps_of(const struct nv_area *area)
{
    return 3 * units_of(area) + 1;
}

static uint32_t steps(const struct boot_config *config, uint32_t mask)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < config->image_count; i++) {
        sum += mask >> i & 1 ? steps_of(&config->unit[i].slot[0].area) : 0;
    }
    return sum < BOOT_STATE_MAX_STEPS ? sum : 0;
}

/* The new image while it is on its way, unit by unit. */
static int read_moving(const struct boot_image_source *source, uint32_t offset, void *bytes,
                       uint32_t len)
{
    const struct job *job = source->context;
    uint8_t *p = bytes;

    while (len > 0) {
        const uint32_t rest = job->unit_bytes - offset % job->unit_bytes;
        const uint32_t part = len < rest ? len : rest;
        const uint32_t slot = offset / job->unit_bytes < job->swapped ? 0 : 1;
        const int err = nv_area_read(job->area[slot], offset, p, part);

        if (err) {
            return err;
        }
        p += part;
        offset += part;
        len -= part;
    }
    return 0;
}

/* The key lies in the image, of which half may be in either slot. Without it the bytes are
 * copied as they are; what then arrives does not verify and is swapped back. */
static void find_key(struct job *job)
{
    const struct boot_image_source moving = {
        read_moving, job, job->units * job->unit_bytes,
    };

    job->is_encrypted = 0;
    if (job->config->decrypt && job->config->decrypt_key
        && boot_image_read(&job->image, &moving) == BOOT_GOOD
        && job->image.wrapped_bytes != 0) {
        job->is_encrypted = job->config->decrypt->unwrap(&job->aes, &job->image,
                                                         job->config->decrypt_key)
                            == BOOT_GOOD;
    }
}

static int is_erased(const uint8_t *bytes, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        if (bytes[i] != 0xff) {
            return 0;
        }
    }
    return 1;
}

static int copy_unit(struct job *job, const struct nv_area *from, uint32_t from_unit,
                     const struct nv_area *to, uint32_t to_unit, uint32_t decrypt)
{
    const uint32_t bytes = job->unit_bytes;
    uint8_t chunk[CHUNK_BYTES];
    int err = nv_area_erase(to, to_unit * bytes);

    for (uint32_t at = 0; !err && at < bytes; at += CHUNK_BYTES) {
        const uint32_t len = bytes - at < CHUNK_BYTES ? bytes - at : CHUNK_BYTES;

        err = nv_area_read(from, from_unit * bytes + at, chunk, len);
        if (!err && decrypt) {
            job->config->decrypt->crypt(&job->aes, &job->image, from_unit * bytes + at, chunk,
                                        len);
        }
        if (!err && !is_erased(chunk, len)) {
            err = nv_area_program(to, to_unit * bytes + at, chunk, len);
        }
    }
    return err;
}

/* What one step does: source and destination, as slot and unit. */
struct move {
    uint32_t from_slot, from_unit, to_slot, to_unit;
};

static struct move move_of(const struct job *job, uint32_t step)
{
    if (step < job->units) {
        const uint32_t unit = job->units - 1 - step;

        return (struct move){ 0, unit, 0, unit + 1 };
    }
    const uint32_t unit = (step - job->units) / 2;

    return (step - job->units) % 2 == 0 ? (struct move){ 1, unit, 0, unit }
                                        : (struct move){ 0, unit + 1, 1, unit };
}

/* A unit torn by a cut may read erased: only a step that no cut can have touched is left out. */
static int is_idle(const struct job *job, const struct move *m)
{
    return nv_area_is_erased(job->area[m->from_slot], m->from_unit * job->unit_bytes,
                             job->unit_bytes) == 1
           && nv_area_is_erased(job->area[m->to_slot], m->to_unit * job->unit_bytes,
                                job->unit_bytes) == 1;
}

/* Steps before `first` belong to images before this one. */
static enum boot_status swap_one(struct job *job, struct nv_counter *counter,
                                 struct boot_state *state, uint32_t first, uint32_t *resumed)
{
    const uint32_t last = first + 3 * job->units;

    if (state->step > last) {
        return BOOT_GOOD;
    }
    const uint32_t done = state->step - first;

    job->swapped = done <= job->units ? 0 : (done - job->units + 1) / 2;
    if (state->purpose != BOOT_STATE_BACK) {
        find_key(job);
    }
    for (uint32_t step = done; step < 3 * job->units; step++) {
        const struct move m = move_of(job, step);

        if (!*resumed && is_idle(job, &m)) {
            continue;
        }
        state->step = first + step;
        const enum boot_status status = boot_state_set(counter, state);

        if (status != BOOT_GOOD) {
            return status;
        }
        if (copy_unit(job, job->area[m.from_slot], m.from_unit, job->area[m.to_slot], m.to_unit,
                      m.from_slot == 1 && job->is_encrypted)) {
            return BOOT_EWRITE;
        }
        *resumed = 0;
    }
    state->step = last;
    const enum boot_status status = boot_state_set(counter, state);

    if (status != BOOT_GOOD) {
        return status;
    }
    /* Old units lie where the trailer was; the unit may be torn, so it is erased anyway. */
    if (nv_area_erase(job->area[0], job->units * job->unit_bytes)) {
        return BOOT_EWRITE;
    }
    *resumed = 0;
    state->step = last + 1;
    return BOOT_GOOD;
}

static enum boot_status run(const struct boot_config *config, struct nv_counter *counter,
                            struct boot_state *state)
{
    struct job job = { .config = config };
    enum boot_status status = BOOT_GOOD;
    uint32_t first = 0;
    uint32_t resumed = 1;

    for (uint32_t i = 0; status == BOOT_GOOD && i < config->image_count; i++) {
        if (state->swapping >> i & 1) {
            job.area[0] = &config->unit[i].slot[0].area;
            job.area[1] = &config->unit[i].slot[1].area;
            job.unit_bytes = job.area[0]->flash->erase_bytes;
            job.units = units_of(job.area[0]);
            status = swap_one(&job, counter, state, first, &resumed);
            first += steps_of(job.area[0]);
        }
    }
    aes_ctr_wipe(&job.aes);
    return status;
}

const struct boot_swap boot_swap_slots = { steps, run };
