/* The device's statistics over a model that is not run, for tests that call them from Python.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "flash_sim.h"
#include "telemetry.h"
#include "stack.h"

#define STORAGE_SECTORS 4u
#define LOG_SECTORS 3u
#define MAX_TENSOR 4096u

static struct telemetry telemetry;
static struct nv_kv storage;
static struct capsule_feature features[OBSERVE_FEATURES];
static struct capsule_distribution distributions[OBSERVE_DISTRIBUTIONS];
static struct capsule_reference reference = { .features = features,
                                              .distributions = distributions };
static struct capsule_tensor in = { .dtype = CAPSULE_S8 }, out = { .dtype = CAPSULE_S8 };
static struct capsule capsule = { .inputs = &in, .outputs = &out, .input_count = 1,
                                  .output_count = 1 };
static uint8_t input[MAX_TENSOR], output[MAX_TENSOR];
static uint32_t inferences, refused;

void driver_capsule(uint32_t inputs, uint32_t outputs, int is_signed, uint16_t window,
                    uint16_t channels, uint16_t groups);
void driver_feature(uint32_t index, const int16_t *edges, int16_t low, int16_t high);
void driver_distribution(uint32_t index, const uint16_t *shares, const uint16_t *limits);
void driver_blank(uint32_t erase_bytes, uint32_t program_bytes);
int driver_set(uint16_t key, const void *value, uint32_t len);
void driver_start(int with_reference, uint32_t active_uw, uint32_t cause);
int driver_infer(const uint8_t *in_bytes, const uint8_t *out_bytes, uint64_t ticks);
int driver_counts(uint32_t distribution, uint16_t *counts);
void driver_slow(uint16_t *cells);
int driver_distance(uint32_t distribution, uint16_t *statistic);
int driver_allow(const uint8_t *bytes, uint32_t len);
int driver_level(void);
int driver_record(uint32_t after, uint8_t *bytes, uint32_t cap, uint32_t *number);
int driver_append(const uint8_t *bytes, uint32_t len);
int driver_append_cut(const uint8_t *bytes, uint32_t len, uint32_t operation, uint32_t place);
uint32_t driver_log_bytes(void);
void driver_read_log(uint8_t *image);
void driver_write_log(const uint8_t *image);
int driver_mount_log(void);
int32_t driver_laplace(uint32_t seed, uint32_t index, uint32_t a, uint32_t b);
uint32_t driver_struct_bytes(void);

uint32_t stack_bytes(void)
{
    return 8192;
}

uint32_t stack_high_water(void)
{
    return 1000;
}

void driver_capsule(uint32_t inputs, uint32_t outputs, int is_signed, uint16_t window,
                    uint16_t channels, uint16_t groups)
{
    in.bytes = inputs;
    out.bytes = outputs;
    in.dtype = out.dtype = is_signed ? CAPSULE_S8 : CAPSULE_U8;
    reference.window = window;
    reference.channels = channels;
    reference.groups = groups;
}

void driver_feature(uint32_t index, const int16_t *edges, int16_t low, int16_t high)
{
    memcpy(features[index].edge, edges, sizeof features[index].edge);
    features[index].low = low;
    features[index].high = high;
}

void driver_distribution(uint32_t index, const uint16_t *shares, const uint16_t *limits)
{
    memcpy(distributions[index].share, shares, sizeof distributions[index].share);
    memcpy(distributions[index].limit, limits, sizeof distributions[index].limit);
}

void driver_blank(uint32_t erase_bytes, uint32_t program_bytes)
{
    flash_sim_configure((STORAGE_SECTORS + LOG_SECTORS) * erase_bytes, erase_bytes,
                        program_bytes);
}

static void mount_storage(void)
{
    storage = (struct nv_kv){ .area = { &flash_sim, 0,
                                        STORAGE_SECTORS * flash_sim.erase_bytes } };
    (void)nv_kv_mount(&storage);
}

int driver_set(uint16_t key, const void *value, uint32_t len)
{
    mount_storage();
    return nv_kv_set(&storage, key, value, len);
}

void driver_start(int with_reference, uint32_t active_uw, uint32_t cause)
{
    const struct telemetry_facts facts = {
        .firmware = "1.2.3", .inferences = &inferences, .refused = &refused,
        .reset_cause = cause, .verdict = { 7, 8 }, .hz = 1000000, .active_uw = active_uw,
    };

    mount_storage();
    capsule.reference = with_reference ? &reference : 0;
    memset(&telemetry, 0, sizeof telemetry);
    telemetry.consent.storage = &storage;
    telemetry.log.area = (struct nv_area){ &flash_sim,
                                           STORAGE_SECTORS * flash_sim.erase_bytes,
                                           LOG_SECTORS * flash_sim.erase_bytes };
    telemetry_start(&telemetry, &facts, &capsule, input, output);
}

int driver_infer(const uint8_t *in_bytes, const uint8_t *out_bytes, uint64_t ticks)
{
    const uint16_t windows = telemetry.observe.windows;

    memcpy(input, in_bytes, in.bytes);
    memcpy(output, out_bytes, out.bytes);
    telemetry_before(&telemetry);
    inferences++;
    telemetry_after(&telemetry, ticks);
    return telemetry.observe.windows != windows;
}

int driver_counts(uint32_t distribution, uint16_t *counts)
{
    uint32_t bins;
    const uint16_t *const found = observe_counts(&telemetry.observe, distribution, &bins);

    memcpy(counts, found, bins * sizeof counts[0]);
    return (int)bins;
}

void driver_slow(uint16_t *cells)
{
    memcpy(cells, telemetry.observe.slow, sizeof telemetry.observe.slow);
}

int driver_distance(uint32_t distribution, uint16_t *statistic)
{
    return observe_distance(&telemetry.observe, distribution, statistic);
}

int driver_allow(const uint8_t *bytes, uint32_t len)
{
    return telemetry_allow(&telemetry, bytes, len);
}

int driver_level(void)
{
    return (int)telemetry.consent.level;
}

int driver_record(uint32_t after, uint8_t *bytes, uint32_t cap, uint32_t *number)
{
    struct nv_log_record found;
    const int is_there = telemetry_find(&telemetry, after, &found);

    if (is_there <= 0) {
        return is_there;
    }
    *number = found.number;
    if (found.len - 1 > cap
        || nv_area_read(&telemetry.log.area, found.offset + 1, bytes, found.len - 1)) {
        return -1;
    }
    return (int)found.len - 1;
}

int driver_append(const uint8_t *bytes, uint32_t len)
{
    return nv_log_append(&telemetry.log, bytes, len);
}

struct append {
    const uint8_t *bytes;
    uint32_t len;
};

static void append(void *context)
{
    const struct append *const a = context;

    (void)nv_log_append(&telemetry.log, a->bytes, a->len);
}

int driver_append_cut(const uint8_t *bytes, uint32_t len, uint32_t operation, uint32_t place)
{
    struct append a = { bytes, len };

    return flash_sim_run(operation, place, append, &a) == FLASH_SIM_CUT;
}

uint32_t driver_log_bytes(void)
{
    return telemetry.log.area.bytes;
}

void driver_read_log(uint8_t *image)
{
    flash_sim.read(telemetry.log.area.start, image, telemetry.log.area.bytes);
}

void driver_write_log(const uint8_t *image)
{
    const struct nv_area *const area = &telemetry.log.area;
    const uint32_t unit = flash_sim.program_bytes;

    for (uint32_t at = 0; at < area->bytes; at += flash_sim.erase_bytes) {
        flash_sim.erase(area->start + at);
    }
    for (uint32_t at = 0; at < area->bytes; at += unit) {
        for (uint32_t i = 0; i < unit; i++) {
            if (image[at + i] != 0xff) {
                flash_sim.program(area->start + at, image + at, unit);
                break;
            }
        }
    }
}

int driver_mount_log(void)
{
    return nv_log_mount(&telemetry.log);
}

int32_t driver_laplace(uint32_t seed, uint32_t index, uint32_t a, uint32_t b)
{
    static struct consent_noise noise;

    if (index == 0) {
        memset(&noise, 0, sizeof noise);
        memcpy(noise.key, &seed, sizeof seed);
        noise.used = sizeof noise.block;
    }
    return consent_laplace(&noise, a, b);
}

uint32_t driver_struct_bytes(void)
{
    return sizeof telemetry;
}
