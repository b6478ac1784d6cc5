/* Inputs drawn by xorshift32. SPDX-License-Identifier: Apache-2.0 */
#include "selftest.h"

#include <string.h>

#include "nv_crc.h"

static int8_t draw(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return (int8_t)(*state >> 24);
}

static void put(uint8_t *to, enum capsule_dtype dtype, int8_t drawn)
{
    const float real = (float)drawn / 16.0f;
    const int64_t wide = drawn;

    if (dtype == CAPSULE_F32) {
        memcpy(to, &real, sizeof real);
    } else if (dtype == CAPSULE_BOOL) {
        *to = drawn & 1;
    } else {
        memcpy(to, &wide, capsule_width(dtype)); /* all targets are little-endian */
    }
}

void selftest_fill(const struct capsule *capsule, const struct capsule_memory *memory)
{
    uint32_t state = capsule->test_seed;

    for (uint32_t i = 0; i < capsule->input_count; i++) {
        const struct capsule_tensor *input = &capsule->inputs[i];
        uint8_t *const start = memory->region[input->region] + input->offset;
        const uint32_t width = capsule_width(input->dtype);

        for (uint32_t at = 0; at < input->bytes; at += width) {
            put(start + at, input->dtype, draw(&state));
        }
    }
}

uint32_t selftest_crc(const struct capsule *capsule, const struct capsule_memory *memory)
{
    uint32_t crc = 0;

    for (uint32_t i = 0; i < capsule->output_count; i++) {
        const struct capsule_tensor *output = &capsule->outputs[i];

        crc = nv_crc32(crc, memory->region[output->region] + output->offset, output->bytes);
    }
    return crc;
}
