/* The public functions around one capsule. SPDX-License-Identifier: Apache-2.0 */
#include "tinyseal.h"

#include <string.h>

#include "capsule.h"
#include "kernels/nn_quantize.h"
#include "selftest.h"

_Static_assert(sizeof(int) >= 4, "int has 16 bits here, as on AVR: the kernels would compute wrong");

/* Where an arena lies may be said on the compiler's command line, for memory that is not the
 * default one: -D'TINYSEAL_ARENA_1_PLACE=__attribute__((section(".psram")))'. */
#ifndef TINYSEAL_ARENA_0_PLACE
#define TINYSEAL_ARENA_0_PLACE
#endif
#ifndef TINYSEAL_ARENA_1_PLACE
#define TINYSEAL_ARENA_1_PLACE
#endif

/* C has no empty arrays. */
#define ROOM(bytes) ((bytes) > 0 ? (bytes) : 1)

static uint8_t arena_0[ROOM(TINYSEAL_ARENA_0_BYTES)] TINYSEAL_ARENA_0_PLACE
    __attribute__((aligned(CAPSULE_ALIGN)));
static uint8_t arena_1[ROOM(TINYSEAL_ARENA_1_BYTES)] TINYSEAL_ARENA_1_PLACE
    __attribute__((aligned(CAPSULE_ALIGN)));

static const struct capsule_memory memory = { .region = { arena_0, arena_1 } };
static const struct capsule *const model = &capsule_table;
static int has_started;

static uint8_t *address(const struct capsule_tensor *tensor)
{
    return memory.region[tensor->region] + tensor->offset;
}

/* 0 if `count` values of `tensor` can be given or taken as real numbers. */
static int check(const struct capsule_tensor *tensor, uint32_t count)
{
    if (tensor->dtype != CAPSULE_S8 && tensor->dtype != CAPSULE_F32) {
        return TINYSEAL_ETYPE;
    }
    return count == tensor->bytes / capsule_width(tensor->dtype) ? 0 : TINYSEAL_ECOUNT;
}

void tinyseal_init(void)
{
    model->reset(&memory);
    has_started = 1;
}

void *tinyseal_input(uint32_t index)
{
    return index < model->input_count ? address(&model->inputs[index]) : 0;
}

const void *tinyseal_output(uint32_t index)
{
    return index < model->output_count ? address(&model->outputs[index]) : 0;
}

int tinyseal_quantize(uint32_t index, const float *values, uint32_t count)
{
    if (index >= model->input_count) {
        return TINYSEAL_EINDEX;
    }
    const struct capsule_tensor *input = &model->inputs[index];
    const int err = check(input, count);

    if (err) {
        return err;
    }
    if (input->dtype == CAPSULE_F32) {
        memcpy(address(input), values, input->bytes);
    } else {
        nn_quantize_f32_s8(input->scale, input->zero_point, values, (void *)address(input),
                           (int32_t)count);
    }
    return 0;
}

int tinyseal_dequantize(uint32_t index, float *values, uint32_t count)
{
    if (index >= model->output_count) {
        return TINYSEAL_EINDEX;
    }
    const struct capsule_tensor *output = &model->outputs[index];
    const int err = check(output, count);

    if (err) {
        return err;
    }
    if (output->dtype == CAPSULE_F32) {
        memcpy(values, address(output), output->bytes);
    } else {
        nn_quantize_s8_f32(output->scale, output->zero_point, (void *)address(output), values,
                           (int32_t)count);
    }
    return 0;
}

int tinyseal_invoke(void)
{
    if (!has_started) {
        return TINYSEAL_ESTART;
    }
    model->invoke(&memory);
    return 0;
}

/* An element as a number that grows with what it stands for. All targets are little-endian. */
static double value_of(const struct capsule_tensor *tensor, uint32_t element)
{
    const uint32_t width = capsule_width(tensor->dtype);
    const uint8_t *const bytes = address(tensor) + element * width;
    float real;
    int64_t wide = bytes[width - 1] >= 0x80 ? -1 : 0; /* the sign, unless told otherwise below */

    if (tensor->dtype == CAPSULE_F32) {
        memcpy(&real, bytes, sizeof real);
        return (double)real;
    }
    if (tensor->dtype == CAPSULE_U8) {
        wide = 0;
    }
    memcpy(&wide, bytes, width);
    return (double)wide;
}

uint32_t tinyseal_best(void)
{
    const struct capsule_tensor *const output = &model->outputs[0];
    uint32_t best = 0;

    for (uint32_t i = 1; i < output->bytes / capsule_width(output->dtype); i++) {
        if (value_of(output, i) > value_of(output, best)) {
            best = i;
        }
    }
    return best;
}

const char *tinyseal_label(uint32_t class_index)
{
    return class_index < model->label_count ? model->labels[class_index] : "";
}

int tinyseal_self_test(void)
{
    model->reset(&memory);
    selftest_fill(model, &memory);
    model->invoke(&memory);

    const int is_right = selftest_crc(model, &memory) == model->test_crc;

    model->reset(&memory);
    return is_right ? 0 : TINYSEAL_ETEST;
}
