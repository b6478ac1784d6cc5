/* The model's memory, and the way its inputs take. SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include <string.h>

#include "board_config.h"
#include "console.h"
#include "hal.h"
#include "metering.h"
#include "observing.h"
#include "selftest.h"
#include "status.h"

#define ARENA(n) __attribute__((aligned(CAPSULE_ALIGN), section(".arena_" #n)))

static uint8_t arena_0[BOARD_ARENA_0_BYTES] ARENA(0);
#if BOARD_ARENA_1_BYTES > 0
static uint8_t arena_1[BOARD_ARENA_1_BYTES] ARENA(1);
#else
#define arena_1 0
#endif

static void end_lap(void);

static const struct capsule_memory memory = {
    .region = { arena_0, arena_1 }, .between = console_poll_smp
};
static const struct capsule_memory timed = {
    .region = { arena_0, arena_1 }, .between = end_lap
};
static const uint32_t arena_bytes[CAPSULE_REGIONS] = { BOARD_ARENA_0_BYTES,
                                                       BOARD_ARENA_1_BYTES };

/* What stands in for a model while there is none: no tensors, so every index is out of range. */
static void nothing(const struct capsule_memory *unused)
{
    (void)unused;
}

static const struct capsule none = {
    .name = "-", .kernels = "-", .policy = CAPSULE_UNMETERED, .reset = nothing, .invoke = nothing
};
static const struct capsule *capsule = &none;

struct model_counts model_counts;
static int is_running;

/* While layers are timed. */
static struct {
    model_teller tell;
    uint32_t layer;
    uint64_t start; /* of it, in ticks */
    uint64_t whole; /* of those before it; what telling took is left out */
} laps;

static uint8_t *staging;
static uint32_t staging_bytes;
static enum model_encoding encoding;
static uint32_t expected;                 /* by model_expect() */
static uint32_t appended;
static uint32_t loaded[MODEL_MAX_INPUTS]; /* by model_load(): bytes, from the first */

static uint8_t *address(const struct capsule_tensor *tensor)
{
    return memory.region[tensor->region] + tensor->offset;
}

/* Room for `bytes` behind what the model takes of a region; null if no region has it. */
static uint8_t *room_for(uint32_t bytes)
{
    for (uint32_t i = 0; i < CAPSULE_REGIONS; i++) {
        const uint32_t taken = (capsule->arena_bytes[i] + 3u) & ~3u;

        if (taken <= arena_bytes[i] && bytes <= arena_bytes[i] - taken) {
            return memory.region[i] + taken;
        }
    }
    return 0;
}

static void find_staging(void)
{
    uint32_t elements = 0, bytes = 0;

    for (uint32_t i = 0; i < capsule->input_count; i++) {
        elements += model_elements(&capsule->inputs[i]);
        bytes += capsule->inputs[i].bytes;
    }
    const uint32_t reals = elements * (uint32_t)sizeof(float);

    staging_bytes = reals > bytes ? reals : bytes;
    staging = room_for(staging_bytes);
    if (!staging) {
        staging_bytes = bytes;
        staging = room_for(staging_bytes);
    }
    if (!staging) {
        staging_bytes = 0;
    }
}

int model_mount(const struct capsule *wanted)
{
    if (wanted->magic != CAPSULE_MAGIC) {
        return STATUS_EMODEL;
    }
    if (wanted->abi != CAPSULE_ABI) {
        return STATUS_EABI;
    }
    for (uint32_t i = 0; i < CAPSULE_REGIONS; i++) {
        if (wanted->arena_bytes[i] > arena_bytes[i]) {
            return STATUS_EROOM;
        }
    }
    if (wanted->input_count > MODEL_MAX_INPUTS) {
        return STATUS_EROOM;
    }
    capsule = wanted;
    is_running = 0;
    find_staging();
    capsule->reset(&memory);
    return STATUS_OK;
}

const struct capsule *model_capsule(void)
{
    return capsule;
}

uint32_t model_staging_bytes(void)
{
    return staging_bytes;
}

void model_clear(void)
{
    capsule->reset(&memory);
}

uint32_t model_elements(const struct capsule_tensor *tensor)
{
    uint32_t elements = 1;

    for (uint32_t i = 0; i < tensor->rank; i++) {
        elements *= tensor->dims[i];
    }
    return elements;
}

/* Where input `index` begins in the staging buffer, when it is raw. */
static uint32_t staged_at(uint32_t index)
{
    uint32_t offset = 0;

    for (uint32_t i = 0; i < index; i++) {
        offset += capsule->inputs[i].bytes;
    }
    return offset;
}

static void forget_inputs(void)
{
    memset(loaded, 0, sizeof loaded);
    expected = 0;
    appended = 0;
    encoding = MODEL_RAW;
}

int32_t model_load(uint32_t index, uint32_t offset, const uint8_t *bytes, size_t len)
{
    if (index >= capsule->input_count) {
        return STATUS_ERANGE;
    }
    const struct capsule_tensor *input = &capsule->inputs[index];

    if (expected > 0) {
        forget_inputs(); /* they came another way; the buffer is raw again */
    }
    if (offset > loaded[index] || len > input->bytes - offset) {
        return STATUS_ERANGE;
    }
    memcpy((staging_bytes > 0 ? staging + staged_at(index) : address(input)) + offset,
           bytes, len);
    if (offset + len > loaded[index]) {
        loaded[index] = offset + (uint32_t)len;
    }
    return (int32_t)loaded[index];
}

int model_expect(enum model_encoding wanted, uint32_t len)
{
    const uint32_t width = wanted == MODEL_F32 ? 4 : 1;

    if (len != staged_at(capsule->input_count) * width) {
        return STATUS_ERANGE;
    }
    if (len > staging_bytes) {
        return STATUS_EROOM;
    }
    forget_inputs();
    encoding = wanted;
    expected = len;
    return STATUS_OK;
}

int32_t model_append(uint8_t byte)
{
    if (appended >= expected) {
        return STATUS_ERANGE;
    }
    staging[appended++] = byte;
    return (int32_t)(expected - appended);
}

const uint8_t *model_staged(uint32_t *len)
{
    *len = expected > 0 ? appended : (staging_bytes > 0 ? loaded[0] : 0);
    return staging;
}

static int inputs_are_loaded(void)
{
    if (expected > 0) {
        return appended == expected;
    }
    for (uint32_t i = 0; i < capsule->input_count; i++) {
        if (loaded[i] != capsule->inputs[i].bytes) {
            return 0;
        }
    }
    return 1;
}

/* Nearest int8, half away from zero, as TensorFlow Lite quantises inputs. */
static uint8_t quantize(const uint8_t *bytes, const struct capsule_tensor *tensor)
{
    float real;

    memcpy(&real, bytes, sizeof real); /* all targets are little-endian */
    const float scaled = real / tensor->scale;

    if (!(scaled > -512.0f && scaled < 512.0f)) {
        return (uint8_t)(scaled > 0.0f ? 127 : -128);
    }
    const int32_t value =
        (int32_t)(scaled + (scaled < 0.0f ? -0.5f : 0.5f)) + tensor->zero_point;

    return (uint8_t)(value < -128 ? -128 : (value > 127 ? 127 : value));
}

static void copy_inputs(void)
{
    const uint32_t width = encoding == MODEL_F32 ? 4 : 1;
    const uint8_t *from = staging;

    for (uint32_t i = 0; i < capsule->input_count; i++) {
        const struct capsule_tensor *input = &capsule->inputs[i];
        uint8_t *const to = address(input);

        for (uint32_t j = 0; j < input->bytes; j++, from += width) {
            to[j] = encoding == MODEL_F32 ? quantize(from, input)
                    : encoding == MODEL_U8 ? *from ^ 0x80
                                           : *from;
        }
    }
}

int model_is_running(void)
{
    return is_running;
}

static void end_lap(void)
{
    const uint64_t ticks = hal.clock->ticks() - laps.start;

    laps.whole += ticks;
    laps.tell(laps.layer, ticks);
    laps.layer++;
    laps.start = hal.clock->ticks();
}

/* Runs the model once, its inputs being in place; the ticks that took. */
static uint64_t run(void)
{
    const uint64_t start = hal.clock->ticks();

    is_running = 1;
    capsule->invoke(&memory);
    is_running = 0;
    return hal.clock->ticks() - start;
}

static uint64_t run_timed(model_teller tell)
{
    laps.tell = tell;
    laps.layer = 0;
    laps.whole = 0;
    is_running = 1;
    laps.start = hal.clock->ticks();
    capsule->invoke(&timed);
    if (capsule->layer_count > 0) {
        end_lap();
    }
    is_running = 0;
    return laps.whole;
}

/* With a teller, every layer is timed. */
static int infer_once(uint64_t *ticks, model_teller tell)
{
    uint64_t elapsed;
    const int err = metering_charge();

    if (err) {
        return err;
    }
    if (staging_bytes > 0) {
        copy_inputs();
    } else {
        forget_inputs();
    }
    observing_before();
    elapsed = tell ? run_timed(tell) : run();
    *ticks += elapsed;
    model_counts.inferences++;
    observing_after(elapsed);
    return STATUS_OK;
}

static int infer_times(uint32_t n, uint64_t *ticks, model_teller tell)
{
    int err = capsule == &none                ? STATUS_EMODEL
              : !inputs_are_loaded()          ? STATUS_EINPUT
              : n > 1 && staging_bytes == 0 ? STATUS_EONCE
                                              : STATUS_OK;

    *ticks = 0;
    for (; !err && n > 0; n--) {
        err = infer_once(ticks, tell);
    }
    model_counts.refused += err != STATUS_OK;
    return err;
}

int model_infer(uint32_t n, uint64_t *ticks)
{
    return infer_times(n, ticks, NULL);
}

int model_time(model_teller tell, uint64_t *ticks)
{
    return infer_times(1, ticks, tell);
}

int model_self_test(uint32_t *crc)
{
    *crc = 0;
    if (capsule == &none) {
        return STATUS_EMODEL;
    }
    capsule->reset(&memory);
    if (staging_bytes == 0) {
        forget_inputs();
    }
    selftest_fill(capsule, &memory);
    (void)run();
    *crc = selftest_crc(capsule, &memory);
    capsule->reset(&memory);
    return *crc == capsule->test_crc ? STATUS_OK : STATUS_ETEST;
}

const uint8_t *model_first_input(void)
{
    return capsule->input_count > 0 ? address(&capsule->inputs[0]) : 0;
}

const uint8_t *model_output(uint32_t index, uint32_t offset, uint32_t len)
{
    if (index >= capsule->output_count) {
        return 0;
    }
    const struct capsule_tensor *output = &capsule->outputs[index];

    if (offset > output->bytes || len > output->bytes - offset) {
        return 0;
    }
    return address(output) + offset;
}

float model_real_output(uint32_t index, uint32_t element)
{
    const struct capsule_tensor *output = &capsule->outputs[index];
    const uint8_t *bytes = address(output);
    float real;
    int32_t value;

    switch (output->dtype) {
    case CAPSULE_F32:
        memcpy(&real, bytes + 4 * element, sizeof real);
        return real;
    case CAPSULE_S32:
        memcpy(&value, bytes + 4 * element, sizeof value);
        break;
    case CAPSULE_S64: /* the low half: indices and counts fit it */
        memcpy(&value, bytes + 8 * element, sizeof value);
        break;
    case CAPSULE_S16:
        value = (int16_t)(bytes[2 * element] | (bytes[2 * element + 1] << 8));
        break;
    case CAPSULE_U8:
    case CAPSULE_BOOL:
        value = bytes[element];
        break;
    case CAPSULE_S8:
    default:
        value = (int8_t)bytes[element];
        break;
    }
    const float scale = output->scale > 0.0f ? output->scale : 1.0f;

    return scale * (float)(value - output->zero_point);
}
