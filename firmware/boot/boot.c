/* Decides what runs. SPDX-License-Identifier: Apache-2.0 */
#include "boot.h"

#include <string.h>

#include "boot_decrypt.h"
#include "boot_slot.h"
#include "boot_swap.h"
#include "boot_trailer.h"

#define ATTEMPTS 8 /* each one that fails rules a slot or a request out: there are fewer */
#define CHUNK_BYTES 64u

#define FLOW_CHOSEN 0x2e91c6d7u
#define FLOW_SETTLED 0x70b5394cu
#define FLOW_COUNTED 0x1a6d8f35u
#define FLOW_ALL (FLOW_CHOSEN + FLOW_SETTLED + FLOW_COUNTED)

/* --- The slots of one image. --- */

static const struct boot_slot *slot_of(const struct boot *b, uint32_t i, uint32_t s)
{
    return &b->config->unit[i].slot[s];
}

static uint32_t is_pending(const struct boot *b, uint32_t i)
{
    return b->state.image[i].phase == BOOT_PENDING || b->state.image[i].phase == BOOT_PERMANENT;
}

static uint32_t candidate_of(const struct boot *b, uint32_t i)
{
    return b->state.image[i].active ^ 1u;
}

/* A slot read through the image's cipher. */
struct decrypting {
    const struct boot_config *config;
    const struct nv_area *area;
    const struct boot_image *image;
    struct aes_ctr aes;
};

static int read_decrypted(const struct boot_image_source *source, uint32_t offset, void *bytes,
                          uint32_t len)
{
    const struct decrypting *d = source->context;
    const int err = nv_area_read(d->area, offset, bytes, len);

    if (!err) {
        boot_decrypt(d->config)->crypt(&d->aes, d->image, offset, bytes, len);
    }
    return err;
}

static enum boot_status check_decrypted(struct boot *b, uint32_t i, uint32_t s,
                                        const struct boot_image_source *source,
                                        const struct boot_image_rules *rules)
{
    const struct boot_decrypt *decrypt = boot_decrypt(b->config);
    struct boot_image *image = &b->image[i][s];
    struct decrypting d = { b->config, &slot_of(b, i, s)->area, image, { { 0 }, 0 } };
    const struct boot_image_source plain = { read_decrypted, &d, source->bytes };

    if (!decrypt) {
        return BOOT_ENCRYPTED;
    }
    if (!b->config->decrypt_key) {
        return BOOT_ENOKEY;
    }
    enum boot_status status = decrypt->unwrap(&d.aes, image, b->config->decrypt_key);

    if (status == BOOT_GOOD) {
        status = boot_image_check(image, source, &plain, rules, &b->first_look[i][s]);
    }
    aes_ctr_wipe(&d.aes);
    return status;
}

/* Whole, signed, for this place, and not withdrawn. */
static enum boot_status check_slot(struct boot *b, uint32_t i, uint32_t s)
{
    const struct boot_config *c = b->config;
    struct boot_image *image = &b->image[i][s];
    const struct nv_area *area = &slot_of(b, i, s)->area;
    const struct boot_image_source source = boot_image_in_area(area, boot_slot_room(area));
    const struct boot_image_rules rules = boot_slot_rules(b->config, i, s);
    enum boot_status status = boot_image_read(image, &source);

    if (status != BOOT_GOOD) {
        return status;
    }
    const uint32_t is_encrypted = image->wrapped_bytes != 0;
    const uint32_t is_installed = boot_mode(c) == BOOT_XIP || (boot_mode(c) == BOOT_SWAP && s == 0);
    /* What was swapped out lies in slot 1 decrypted. A request is for a new image. */
    const uint32_t may_lie_plain = boot_mode(c) == BOOT_SWAP && s == 1 && !is_pending(b, i);

    b->as_is[i][s] = 0;
    b->first_look[i][s] = 0;
    if (!is_encrypted || is_installed || may_lie_plain) {
        status = boot_image_check(image, &source, &source, &rules, &b->first_look[i][s]);
        b->as_is[i][s] = (uint8_t)is_encrypted;
    }
    if (is_encrypted && may_lie_plain && status == BOOT_EHASH) {
        b->as_is[i][s] = 0;
        b->first_look[i][s] = 0;
    }
    if (is_encrypted && !is_installed && !b->as_is[i][s]) {
        status = check_decrypted(b, i, s, &source, &rules);
    }
    if (status != BOOT_GOOD) {
        return is_encrypted && boot_mode(c) == BOOT_XIP && status == BOOT_EHASH ? BOOT_ENCRYPTED
                                                                           : status;
    }
    if (boot_mode(c) == BOOT_RAM && image->total_bytes > c->unit[i].ram_bytes) {
        return BOOT_ESIZE;
    }
    if (b->counter_status[i] == BOOT_ENOCOUNTER) {
        return BOOT_ENOCOUNTER;
    }
    return image->counter >= nv_counter_value(&b->counter[i]) ? BOOT_GOOD : BOOT_ECOUNTER;
}

static int is_valid(struct boot *b, uint32_t i, uint32_t s);

/* What a valid image must satisfy besides to replace the one in use. Asked before anything is
 * done that cannot be undone. */
static enum boot_status check_candidate(struct boot *b, uint32_t i, uint32_t s)
{
    const struct boot_image *image = &b->image[i][s];
    const uint32_t active = b->state.image[i].active;
    uint32_t commits = 4;

    if (is_valid(b, i, active)) {
        const struct boot_image *old = &b->image[i][active];

        if (image->counter < old->counter) {
            return BOOT_ECOUNTER;
        }
        if (image->counter == old->counter && b->config->allow_downgrade != 1
            && boot_image_compare(&image->version, &old->version) < 0) {
            return BOOT_EVERSION;
        }
    }
    if (boot_mode(b->config) == BOOT_SWAP) {
        commits += 2 * b->config->swap->steps(b->config, (1u << BOOT_IMAGES) - 1);
    }
    if (!boot_state_has_room(&b->state_counter, commits)
        || (image->counter > nv_counter_value(&b->counter[i])
            && (b->counter_status[i] != BOOT_GOOD
                || !boot_state_has_room(&b->counter[i], 1)))) {
        return BOOT_EEXHAUSTED;
    }
    return BOOT_GOOD;
}

static int is_valid(struct boot *b, uint32_t i, uint32_t s)
{
    if (b->status[i][s] == 0) {
        b->status[i][s] = check_slot(b, i, s);
        if (b->status[i][s] == BOOT_GOOD && is_pending(b, i) && s == candidate_of(b, i)) {
            b->status[i][s] = check_candidate(b, i, s);
        }
    }
    return b->status[i][s] == BOOT_GOOD;
}

/* --- The pair. --- */

static int is_content(const struct boot_image *image, uint32_t i, const struct boot_image *other)
{
    if (image->needs_image == BOOT_IMAGE_NO_IMAGE) {
        return 1;
    }
    return image->needs_image == (i ^ 1u) && other
           && boot_image_compare(&other->version, &image->needs_version) >= 0;
}

static int is_pair(struct boot *b, uint32_t app, uint32_t capsule)
{
    if (!is_valid(b, BOOT_APP, app)) {
        return 0;
    }
    if (b->config->image_count == 1) {
        return is_content(&b->image[BOOT_APP][app], BOOT_APP, 0);
    }
    return is_valid(b, BOOT_CAPSULE, capsule)
           && is_content(&b->image[BOOT_APP][app], BOOT_APP, &b->image[BOOT_CAPSULE][capsule])
           && is_content(&b->image[BOOT_CAPSULE][capsule], BOOT_CAPSULE,
                         &b->image[BOOT_APP][app]);
}

/* Which slot is taken first, and which second. */
static uint32_t preferred(const struct boot *b, uint32_t i, uint32_t rank)
{
    return b->state.image[i].active ^ is_pending(b, i) ^ rank;
}

/* First what is asked for and what is in use, in every mixture; then what else there is; then
 * the application alone, which can at least take a new capsule. */
static void choose(struct boot *b)
{
    const uint32_t is_single = b->config->image_count == 1;

    for (uint32_t last_resort = 0; last_resort < 2; last_resort++) {
        for (uint32_t k = 0; k < 4; k++) {
            const uint32_t app_rank = k >> 1;
            const uint32_t capsule_rank = k & 1;
            const uint32_t app = preferred(b, BOOT_APP, app_rank);
            const uint32_t capsule = preferred(b, BOOT_CAPSULE, capsule_rank);

            if (!last_resort
                && ((app_rank && !is_pending(b, BOOT_APP))
                    || (capsule_rank && !is_pending(b, BOOT_CAPSULE)))) {
                continue;
            }
            if (is_pair(b, app, capsule)) {
                b->chosen[BOOT_APP] = (uint8_t)app;
                b->chosen[BOOT_CAPSULE] = is_single ? BOOT_NO_SLOT : (uint8_t)capsule;
                return;
            }
        }
    }
    b->chosen[BOOT_APP] = BOOT_NO_SLOT;
    b->chosen[BOOT_CAPSULE] = BOOT_NO_SLOT;
    for (uint32_t rank = 0; !is_single && rank < 2 && b->chosen[BOOT_APP] == BOOT_NO_SLOT;
         rank++) {
        if (is_valid(b, BOOT_APP, preferred(b, BOOT_APP, rank))) {
            b->chosen[BOOT_APP] = (uint8_t)preferred(b, BOOT_APP, rank);
        }
    }
}

/* --- State. --- */

static void set_state(struct boot *b)
{
    if (b->state_status == BOOT_GOOD) {
        b->state_status = boot_state_set(&b->state_counter, &b->state);
    }
}

static void drop_requests(struct boot *b)
{
    for (uint32_t i = 0; i < BOOT_IMAGES; i++) {
        if (is_pending(b, i)) {
            b->state.image[i].phase = BOOT_STEADY;
        }
    }
}

/* Brings the swap that the state tells of to its end, and the state to what follows from it. */
static void finish_swap(struct boot *b)
{
    const uint32_t mask = b->state.swapping;
    const uint32_t is_trial = b->state.purpose == BOOT_STATE_TEST;
    const enum boot_status status = b->config->swap->run(b->config, &b->state_counter, &b->state);

    memset(b->status, 0, sizeof b->status);
    memset(&b->state, 0, sizeof b->state);
    if (status != BOOT_GOOD) {
        b->state_status = status; /* and goes on at the next start */
        return;
    }
    for (uint32_t i = 0; i < BOOT_IMAGES; i++) {
        b->state.image[i].phase = mask >> i & is_trial ? BOOT_TRIAL : BOOT_STEADY;
    }
    b->fresh = is_trial ? mask : 0;
    set_state(b);
}

static void start_swap(struct boot *b, uint32_t mask, enum boot_state_purpose purpose)
{
    if (b->state_status != BOOT_GOOD || mask == 0) {
        return;
    }
    b->state.swapping = mask;
    b->state.purpose = purpose;
    b->state.step = 0;
    set_state(b);
    if (b->state_status == BOOT_GOOD) {
        finish_swap(b);
    }
}

/* Images that had their trial and did not confirm themselves. Where slots are swapped, only an
 * image that can run takes their place: a device that never had another keeps this one. */
static void revert(struct boot *b)
{
    uint32_t mask = 0;

    for (uint32_t i = 0; i < b->config->image_count; i++) {
        if (b->state.image[i].phase != BOOT_TRIAL || (b->fresh >> i & 1)) {
            continue;
        }
        if (boot_mode(b->config) != BOOT_SWAP) {
            b->state.image[i].phase = BOOT_STEADY;
            b->request[i] = BOOT_REVERTED;
        } else if (is_valid(b, i, 1)) {
            mask |= 1u << i;
            b->request[i] = BOOT_REVERTED;
        }
    }
    if (boot_mode(b->config) == BOOT_SWAP) {
        start_swap(b, mask, BOOT_STATE_BACK);
    } else {
        set_state(b);
    }
}

/* Takes over what trailers ask for. The register first: a cut in between repeats the request. */
static void take_requests(struct boot *b)
{
    uint32_t found[BOOT_IMAGES] = { 0 };

    for (uint32_t i = 0; i < b->config->image_count; i++) {
        for (uint32_t s = 0; s < BOOT_SLOTS; s++) {
            const int request = boot_trailer_read(&slot_of(b, i, s)->area);

            if (request <= BOOT_TRAILER_NONE) {
                continue;
            }
            found[i] |= 1u << s;
            if (s == candidate_of(b, i) && b->state.image[i].phase == BOOT_STEADY) {
                b->state.image[i].phase =
                    request == BOOT_TRAILER_PERMANENT ? BOOT_PERMANENT : BOOT_PENDING;
            }
        }
    }
    set_state(b);
    for (uint32_t i = 0; b->state_status == BOOT_GOOD && i < b->config->image_count; i++) {
        for (uint32_t s = 0; s < BOOT_SLOTS; s++) {
            if (found[i] >> s & 1 && boot_trailer_clear(&slot_of(b, i, s)->area)) {
                b->state_status = BOOT_EWRITE;
            }
        }
    }
}

/* --- The chosen. --- */

/* Swaps in what was chosen from slot 1. What did not arrive whole for its trial goes back, with
 * all that came with it. The register has no place for one image's trial during another's swap,
 * so nothing is swapped then. */
static void swap_in(struct boot *b)
{
    enum boot_state_purpose purpose = BOOT_STATE_KEEP;
    uint32_t mask = b->fresh;

    for (uint32_t i = 0; mask == 0 && i < b->config->image_count; i++) {
        if (b->state.image[i].phase == BOOT_TRIAL) {
            b->state_status = BOOT_EUNCONFIRMED;
        }
    }
    for (uint32_t i = 0; !b->fresh && i < b->config->image_count; i++) {
        mask |= (uint32_t)(b->chosen[i] == 1) << i;
        if (b->chosen[i] == 1 && b->state.image[i].phase != BOOT_PERMANENT) {
            purpose = BOOT_STATE_TEST;
        }
    }
    for (uint32_t i = 0; i < b->config->image_count; i++) {
        if (b->chosen[i] == 1 && b->as_is[i][1]) {
            purpose = BOOT_STATE_BACK;
            mask = b->fresh ? b->fresh : 1u << i;
        }
    }
    start_swap(b, mask, b->fresh ? BOOT_STATE_BACK : purpose);
    if (b->state_status != BOOT_GOOD) {
        /* Nothing can be swapped at this start any more: slot 0 as it is, or nothing. */
        drop_requests(b);
        for (uint32_t i = 0; i < BOOT_IMAGES; i++) {
            b->status[i][1] = b->state_status;
        }
    }
}

static int copy_to_ram(const struct boot *b, uint32_t i)
{
    const struct boot_image *image = &b->image[i][b->chosen[i]];
    const struct nv_area *area = &slot_of(b, i, b->chosen[i])->area;
    const struct boot_decrypt *decrypt = boot_decrypt(b->config);
    struct aes_ctr aes = { .rounds = 0 };
    int err = nv_area_read(area, 0, b->config->unit[i].ram, image->total_bytes);

    if (err || image->wrapped_bytes == 0) {
        return err;
    }
    if (!decrypt || !b->config->decrypt_key) {
        return FLASH_EIO; /* the first look refused it */
    }
    err = decrypt->unwrap(&aes, image, b->config->decrypt_key) != BOOT_GOOD;
    if (!err) {
        decrypt->crypt(&aes, image, 0, b->config->unit[i].ram, image->total_bytes);
    }
    aes_ctr_wipe(&aes);
    return err;
}

/* Puts every chosen image where it runs, and judges it there again. */
static int look_again(struct boot *b)
{
    for (uint32_t i = 0; i < b->config->image_count; i++) {
        const uint32_t s = b->chosen[i];
        struct boot_image_source source;

        if (s == BOOT_NO_SLOT) {
            continue;
        }
        const struct boot_image *image = &b->image[i][s];
        const struct boot_image_rules rules = boot_slot_rules(b->config, i, s);
        const struct boot_slot *slot = slot_of(b, i, s);

        if (boot_mode(b->config) == BOOT_RAM) {
            if (copy_to_ram(b, i)) {
                b->status[i][s] = BOOT_EREAD;
                return 0;
            }
            source = boot_image_in_memory(b->config->unit[i].ram, image->total_bytes);
        } else if (slot->mapped) {
            source = boot_image_in_memory(slot->mapped, boot_slot_room(&slot->area));
        } else {
            source = boot_image_in_area(&slot->area, boot_slot_room(&slot->area));
        }
        b->second_look[i] = 0;
        const enum boot_status status =
            boot_image_recheck(image, &source, &rules, &b->second_look[i]);

        if (status != BOOT_GOOD || nv_counter_value(&b->counter[i]) > image->counter) {
            b->status[i][s] = status == BOOT_GOOD ? BOOT_ECOUNTER : status;
            return 0;
        }
    }
    return 1;
}

/* Notes the trial before it begins. 0: that failed, and the request is dropped. */
static int settle(struct boot *b)
{
    uint32_t trials = 0;

    for (uint32_t i = 0; i < b->config->image_count; i++) {
        struct boot_state_image *image = &b->state.image[i];
        const uint32_t candidate = candidate_of(b, i);

        if (!is_pending(b, i)) {
            continue;
        }
        if (b->chosen[i] != candidate) {
            if (b->status[i][candidate] == BOOT_GOOD) {
                b->status[i][candidate] = BOOT_EDEPENDENCY;
            }
            b->request[i] = b->status[i][candidate];
            image->phase = BOOT_STEADY;
            continue;
        }
        trials++;
        if (image->phase == BOOT_PERMANENT) {
            image->active = (uint8_t)candidate;
            image->phase = BOOT_STEADY;
        } else {
            image->phase = BOOT_TRIAL;
        }
    }
    if (b->state_status != BOOT_GOOD) {
        return trials == 0;
    }
    set_state(b);
    if (b->state_status == BOOT_GOOD || trials == 0) {
        return 1;
    }
    boot_state_get(&b->state_counter, &b->state);
    drop_requests(b);
    return 0;
}

/* The security counters follow what is confirmed, and only that. An image that cannot move them
 * still runs. */
static void count(struct boot *b)
{
    for (uint32_t i = 0; i < b->config->image_count; i++) {
        const uint32_t s = b->chosen[i];

        if (s == BOOT_NO_SLOT || s != b->state.image[i].active
            || b->state.image[i].phase != BOOT_STEADY || b->state_status == BOOT_ENOSTATE) {
            continue;
        }
        const uint32_t wanted = b->image[i][s].counter;
        const uint32_t value = nv_counter_value(&b->counter[i]);

        if (wanted > value && b->counter_status[i] == BOOT_GOOD) {
            const int err = nv_counter_advance(&b->counter[i], wanted - value);

            b->counter_status[i] = err == NV_COUNTER_EEXHAUSTED ? BOOT_EEXHAUSTED
                                   : err                        ? BOOT_EWRITE
                                                                : BOOT_GOOD;
        }
    }
}

static enum boot_status check_config(const struct boot_config *c)
{
    const enum boot_mode mode = boot_mode(c);

    if (c->mode != mode || c->decrypt != boot_decrypt(c)
        || (mode != BOOT_XIP && mode != BOOT_SWAP && mode != BOOT_RAM)) {
        return BOOT_ECONFIG;
    }
    if (c->image_count < 1 || c->image_count > BOOT_IMAGES) {
        return BOOT_ECONFIG;
    }
    for (uint32_t i = 0; i < c->image_count; i++) {
        const struct boot_unit *unit = &c->unit[i];

        for (uint32_t s = 0; s < BOOT_SLOTS; s++) {
            const struct nv_area *area = &unit->slot[s].area;

            if (nv_area_check(area) || area->bytes != unit->slot[0].area.bytes
                || area->bytes <= boot_trailer_bytes(area)) {
                return BOOT_ECONFIG;
            }
        }
        if (mode == BOOT_RAM && !unit->ram) {
            return BOOT_ECONFIG;
        }
    }
    if (mode == BOOT_SWAP && (!c->swap || !c->swap->steps(c, (1u << c->image_count) - 1))) {
        return BOOT_ECONFIG;
    }
    return BOOT_GOOD;
}

static void open(struct boot *b)
{
    const struct boot_config *c = b->config;

    b->state_counter.area = c->state_area;
    b->state_counter.endurance_cycles = c->endurance_cycles;
    b->state_status = boot_state_open(&b->state_counter, &b->state);
    for (uint32_t i = 0; i < c->image_count; i++) {
        b->counter[i].area = c->unit[i].counter_area;
        b->counter[i].endurance_cycles = c->endurance_cycles;
        const int err = boot_state_mount(&b->counter[i]);

        b->counter_status[i] = err == NV_COUNTER_EEXHAUSTED ? BOOT_EEXHAUSTED
                               : err                        ? BOOT_ENOCOUNTER
                                                            : BOOT_GOOD;
    }
    for (uint32_t i = 0; i < BOOT_IMAGES; i++) {
        b->chosen[i] = BOOT_NO_SLOT;
    }
}

enum boot_status boot_run(struct boot *b, const struct boot_config *config)
{
    memset(b, 0, sizeof *b);
    b->config = config;
    enum boot_status status = check_config(config);

    if (status != BOOT_GOOD) {
        return status;
    }
    open(b);
    if (b->state.swapping && boot_mode(config) == BOOT_SWAP) {
        finish_swap(b);
    }
    revert(b);
    take_requests(b);
    if (b->state_status != BOOT_GOOD) {
        drop_requests(b);
    }
    for (uint32_t attempt = 0; attempt < ATTEMPTS; attempt++) {
        choose(b);
        if (b->chosen[BOOT_APP] == BOOT_NO_SLOT) {
            break;
        }
        if (boot_mode(config) == BOOT_SWAP
            && (b->chosen[BOOT_APP] == 1 || b->chosen[BOOT_CAPSULE] == 1)) {
            swap_in(b);
            continue;
        }
        if (!look_again(b)) {
            continue;
        }
        b->flow = FLOW_CHOSEN;
        if (!settle(b)) {
            continue;
        }
        b->flow += FLOW_SETTLED;
        count(b);
        b->flow += FLOW_COUNTED;
        for (uint32_t i = 0; i < BOOT_IMAGES; i++) {
            b->on_trial[i] = b->state.image[i].phase == BOOT_TRIAL;
        }
        return BOOT_GOOD;
    }
    status = b->status[BOOT_APP][b->state.image[BOOT_APP].active];
    return status == BOOT_GOOD || status == 0 ? BOOT_EDEPENDENCY : status;
}

uint32_t boot_entry(const struct boot *b, uint32_t i)
{
    if (i >= BOOT_IMAGES || b->chosen[i] >= BOOT_SLOTS) {
        return 0;
    }
    const uint32_t s = b->chosen[i];
    const uint32_t wanted = FLOW_ALL + BOOT_IMAGE_FLOW + BOOT_IMAGE_REFLOW;
    volatile uint32_t flow = b->flow + b->first_look[i][s] + b->second_look[i];

    if (b->status[i][s] != BOOT_GOOD || flow != wanted) {
        return 0;
    }
    const uint32_t address = boot_mode(b->config) == BOOT_RAM ? b->config->unit[i].ram_address
                                                         : slot_of(b, i, s)->address;

    /* Read anew: skipping the comparison does not help, a wrong flow is a wrong address. */
    return address + b->image[i][s].header_bytes + (flow ^ wanted);
}
