/* A firmware of its own that runs many small capsules on inputs it makes itself, for `tinyseal
 * torture kernels`. Never part of a product. SPDX-License-Identifier: Apache-2.0
 *
 * Lines as the application's: `ok ...`, or `err CODE`.
 *
 *   echo TEXT      ok TEXT
 *   run CAPSULE    for each of its samples a line `o`, with the CRC-32 of every output, and `guard`
 *                  if the capsule wrote past its arena; ok
 */
#include <string.h>

#include "board_config.h"
#include "hal.h"
#include "kerneltest.h"
#include "line.h"
#include "nv_crc.h"
#include "out.h"
#include "status.h"

#define ARENA(n) __attribute__((aligned(CAPSULE_ALIGN), section(".arena_" #n)))
#define GUARD 0xa5u        /* what the arena, and what lies behind it, holds before a sample */
#define GUARD_BYTES 64u

int main(void);

static uint8_t arena_0[BOARD_ARENA_0_BYTES] ARENA(0);
#if BOARD_ARENA_1_BYTES > 0
static uint8_t arena_1[BOARD_ARENA_1_BYTES] ARENA(1);
#else
#define arena_1 0
#endif

static const struct capsule_memory memory = { .region = { arena_0, arena_1 } };
static const uint32_t room[CAPSULE_REGIONS] = { BOARD_ARENA_0_BYTES, BOARD_ARENA_1_BYTES };
static struct line line;

static uint8_t lowest(uint32_t at)
{
    (void)at;
    return 0x80;
}

static uint8_t highest(uint32_t at)
{
    (void)at;
    return 0x7f;
}

static uint8_t ramp(uint32_t at)
{
    return (uint8_t)(0x80u + at);
}

/* The top byte of a number that every bit of `at` moves. */
static uint8_t noise(uint32_t at)
{
    at = (at ^ at >> 16) * 0x7feb352du;
    at = (at ^ at >> 15) * 0x846ca68bu;
    return (uint8_t)(at >> 24);
}

static uint8_t noise_1(uint32_t at)
{
    return noise(at + 0x10000u);
}

static uint8_t noise_2(uint32_t at)
{
    return noise(at + 0x20000u);
}

/* What byte `at` of the inputs, one after the other, holds: torture/kernels.py has the same. */
static uint8_t (*const samples[])(uint32_t at) = { lowest, highest, ramp, noise_1, noise_2 };

/* Bytes of a region that a capsule has no business with, and that are watched. */
static uint32_t guarded(const struct capsule *capsule, unsigned region)
{
    const uint32_t rest = room[region] - capsule->arena_bytes[region];

    return rest < GUARD_BYTES ? rest : GUARD_BYTES;
}

/* State stays what the sample before left. */
static void prepare(const struct capsule *capsule, uint8_t (*sample)(uint32_t at))
{
    uint32_t at = 0;

    for (unsigned i = 0; i < CAPSULE_REGIONS; i++) {
        if (room[i] > 0) {
            const uint32_t state = capsule->state_bytes[i];

            memset(memory.region[i] + state, GUARD,
                   capsule->arena_bytes[i] - state + guarded(capsule, i));
        }
    }
    for (uint32_t i = 0; i < capsule->input_count; i++) {
        const struct capsule_tensor *input = &capsule->inputs[i];

        for (uint32_t k = 0; k < input->bytes; k++) {
            memory.region[input->region][input->offset + k] = sample(at++);
        }
    }
}

static int is_guard_broken(const struct capsule *capsule)
{
    for (unsigned i = 0; i < CAPSULE_REGIONS; i++) {
        for (uint32_t k = 0; k < guarded(capsule, i); k++) {
            if (memory.region[i][capsule->arena_bytes[i] + k] != GUARD) {
                return 1;
            }
        }
    }
    return 0;
}

static void tell(const struct capsule *capsule)
{
    out_text("o");
    for (uint32_t i = 0; i < capsule->output_count; i++) {
        const struct capsule_tensor *output = &capsule->outputs[i];

        out_text(" ");
        out_hex(nv_crc32(0, memory.region[output->region] + output->offset, output->bytes), 8);
    }
    out_text(is_guard_broken(capsule) ? " guard" : "");
    out_end();
}

static int serve_run(char *rest)
{
    unsigned number;
    const int err = line_number(&rest, &number);

    if (err || number >= kerneltest_count) {
        return STATUS_EARGUMENT;
    }
    const struct capsule *capsule = kerneltest_capsules[number];

    for (unsigned i = 0; i < CAPSULE_REGIONS; i++) {
        if (capsule->arena_bytes[i] > room[i]) {
            return STATUS_EROOM;
        }
    }
    capsule->reset(&memory);
    for (unsigned i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        prepare(capsule, samples[i]);
        capsule->invoke(&memory);
        tell(capsule);
        (void)hal.clock->ticks(); /* feeds a watchdog */
    }
    out_text("ok");
    out_end();
    return 0;
}

static int serve(char *text)
{
    char *rest = text;
    const char *word = line_word(&rest);

    if (word && strcmp(word, "run") == 0) {
        return serve_run(rest);
    }
    if (word && strcmp(word, "echo") == 0) {
        out_text("ok ");
        out_text(rest);
        out_end();
        return 0;
    }
    return word ? STATUS_ECOMMAND : 0;
}

int main(void)
{
    out_text("m-ready");
    out_end();
    for (;;) {
        const int byte = hal.uart->read();

        (void)hal.clock->ticks(); /* feeds a watchdog */
        if (byte < 0 || !line_push(&line, byte)) {
            continue;
        }
        const int err = line.fault ? line.fault : serve(line.text);

        if (err) {
            out_text("err ");
            out_i32(-err);
            out_end();
        }
        line_clear(&line);
    }
}
