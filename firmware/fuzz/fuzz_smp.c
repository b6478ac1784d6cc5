/* The whole application under libFuzzer: framing, CBOR, every SMP handler, both text protocols.
 * SPDX-License-Identifier: Apache-2.0
 *
 * The input is what the device receives, in parts. The first byte of a part says how it comes: as
 * it is, on the console or by radio; or as an SMP packet that is made of it, with the header, the
 * framing and the CRC that a mutation would hardly hit. The board starts anew for every input: two
 * images in the simulated flash, which ends the run at a write that no chip would take. */
#include <setjmp.h>
#include <string.h>

#include "board_config.h"
#include "boot_bench.h"
#include "console.h"
#include "flash_sim.h"
#include "hal.h"
#include "images.h"
#include "model.h"
#include "serving.h"
#include "slots.h"
#include "smp.h"
#include "smp_image.h"
#include "smp_serial.h"
#include "stack.h"
#include "status.h"

#define ERASE_BYTES 512u
#define UNIT 4u
#define SLOT_UNITS 6u
#define TENSOR_BYTES 16u
#define LINE_BYTES 0x20000u /* of received bytes, base64 and line ends included */
#define POLLS 200000u       /* more than any input takes: a device that hangs */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- A chip. --- */

struct line {
    uint8_t bytes[LINE_BYTES];
    uint32_t at, end;
};

static struct line console, air;
static jmp_buf restarted;
static uint64_t now;

static int next(struct line *line)
{
    return line->at < line->end ? line->bytes[line->at++] : -1;
}

static void feed(struct line *line, const void *bytes, size_t len)
{
    if (len <= sizeof line->bytes - line->end) {
        memcpy(line->bytes + line->end, bytes, len);
        line->end += (uint32_t)len;
    }
}

static int console_read(void)
{
    return next(&console);
}

static int air_read(void)
{
    return next(&air);
}

/* What is sent must be there to be sent: the sanitizer looks at all of it at once. */
static void put_away(const void *bytes, size_t len)
{
    static uint8_t sent[LINE_BYTES];

    if (len > sizeof sent) {
        __builtin_trap();
    }
    memcpy(sent, bytes, len);
}

static uint64_t ticks(void)
{
    return now += 1000;
}

static enum hal_reset_cause cause(void)
{
    return HAL_RESET_POWER_ON;
}

static _Noreturn void reset_now(enum hal_reset_cause why)
{
    if (why != HAL_RESET_REQUESTED) {
        __builtin_trap();
    }
    longjmp(restarted, 1);
}

static size_t id_read(uint8_t *id, size_t cap)
{
    memset(id, 0x1d, cap);
    return cap;
}

static const struct hal_uart console_uart = { .read = console_read, .write = put_away };
static const struct hal_uart air_uart = { .read = air_read, .write = put_away };
static const struct hal_clock clock_1mhz = { .hz = 1000000, .ticks = ticks };
static const struct hal_reset reset = { .cause = cause, .now = reset_now };
static const struct hal_id id = { .read = id_read };
const struct hal hal = {
    .uart = &console_uart, .clock = &clock_1mhz, .reset = &reset, .id = &id,
    .flash = &flash_sim, .radio = &air_uart,
};
struct hal_received hal_received;

const struct hal_uart *hal_listen(void)
{
    return &console_uart;
}

uint32_t stack_bytes(void)
{
    return 4096;
}

uint32_t stack_high_water(void)
{
    return 0;
}

/* --- A model: it copies, in two layers. --- */

static void clear(const struct capsule_memory *memory)
{
    memset(memory->region[0], 0, 2 * TENSOR_BYTES);
}

static void copy(const struct capsule_memory *memory)
{
    uint8_t before[TENSOR_BYTES];

    memcpy(before, memory->region[0], sizeof before);
    memory->between();
    if (memcmp(before, memory->region[0], sizeof before) != 0) {
        __builtin_trap(); /* somebody wrote into a model that runs */
    }
    memcpy(memory->region[0] + TENSOR_BYTES, memory->region[0], TENSOR_BYTES);
}

static const struct capsule_tensor input = {
    .name = "in", .bytes = TENSOR_BYTES, .rank = 1, .dims = { TENSOR_BYTES },
    .dtype = CAPSULE_S8,
};
static const struct capsule_tensor output = {
    .name = "out", .bytes = TENSOR_BYTES, .rank = 1, .offset = TENSOR_BYTES,
    .dims = { TENSOR_BYTES }, .dtype = CAPSULE_S8,
};
static const char *const layers[] = { "first", "second" };
static const struct capsule capsule = {
    .magic = CAPSULE_MAGIC, .abi = CAPSULE_ABI, .name = "copy", .kernels = "-",
    .policy = CAPSULE_UNMETERED, .arena_bytes = { 2 * TENSOR_BYTES },
    .input_count = 1, .output_count = 1, .layer_count = 2, .inputs = &input,
    .outputs = &output, .layers = layers, .test_seed = 1, .reset = clear, .invoke = copy,
};

/* --- The slots: version 1 of both images runs, version 2 of the application is there. --- */

static struct boot_handover handover;

/* The image that runs, as it must still lie there at the end. */
static uint8_t running[2048];
static uint32_t running_bytes;

static void install(uint32_t image, uint32_t slot, uint8_t major)
{
    const struct boot_bench_image from = {
        .payload_bytes = 700, .fill = major, .major = major, .flags = BOOT_IMAGE_ROM_FIXED,
        .address = boot_bench.unit[image].slot[slot].address,
        .needs_image = BOOT_IMAGE_NO_IMAGE,
    };
    uint8_t bytes[2048];
    const uint32_t len = boot_bench_make(&from, bytes, sizeof bytes);

    if (boot_bench_write(image, slot, bytes, len)) {
        __builtin_trap();
    }
    if (image == BOOT_APP && slot == 0) {
        memcpy(running, bytes, len);
        running_bytes = len;
    }
}

static void make_flash(void)
{
    boot_bench_configure(ERASE_BYTES, UNIT, SLOT_UNITS, BOOT_XIP);
    install(BOOT_APP, 0, 1);
    install(BOOT_APP, 1, 2);
    install(BOOT_CAPSULE, 0, 1);
    flash_sim_save();
}

void images_start(void)
{
    slots_start(&boot_bench, &handover);
    (void)model_mount(&capsule);
}

int images_confirm(void)
{
    return slots_confirm() == BOOT_GOOD ? STATUS_OK : STATUS_EBOOT;
}

void images_tell(void)
{
}

/* --- What comes in. --- */

struct packet {
    uint8_t bytes[4096];
    uint32_t len;
};

static void frame(const void *bytes, size_t len)
{
    feed(&console, bytes, len);
}

/* An SMP packet: operation, group and command from the first three bytes, then its map. */
static void make_packet(struct packet *packet, const uint8_t *data, uint32_t len)
{
    static const uint8_t groups[] = { 0, 1, 1, 1, 2, 64, 64, 65 };
    const uint32_t body = len < 3 ? 0 : len - 3;
    const uint8_t head[] = {
        (uint8_t)(len > 0 ? data[0] & 0x1f : 0), 0, (uint8_t)(body >> 8), (uint8_t)body, 0,
        len > 1 ? groups[data[1] % sizeof groups] : 0, 0x55,
        (uint8_t)(len > 2 ? data[2] % 10 : 0),
    };

    memcpy(packet->bytes, head, sizeof head);
    memcpy(packet->bytes + sizeof head, data + (len < 3 ? len : 3), body);
    packet->len = (uint32_t)sizeof head + body;
}

static void receive(const uint8_t *data, uint32_t len)
{
    static struct packet packet;

    if (len == 0 || len > sizeof packet.bytes - SMP_HEADER_BYTES) {
        return;
    }
    const uint8_t how = data[0] % 6;

    data++;
    len--;
    switch (how) {
    case 0:
        feed(&console, data, len);
        break;
    case 1:
        feed(&air, data, len);
        break;
    case 2:
        make_packet(&packet, data, len);
        feed(&air, packet.bytes, packet.len);
        break;
    default:
        make_packet(&packet, data, len);
        smp_serial_write(packet.bytes, packet.len, frame);
    }
}

static void serve(void)
{
    uint32_t polls = 0;

    /* A few more than there are bytes: the last request is answered. */
    for (uint32_t rest = 100; rest > 0; rest -= console.at == console.end && air.at == air.end) {
        console_poll();
        if (++polls == POLLS) {
            __builtin_trap();
        }
    }
}

/* Parts are divided by 0xfe 0xed; which CBOR never needs. */
static void divide(const uint8_t *data, uint32_t size)
{
    uint32_t start = 0;

    for (uint32_t at = 0; at + 1 < size; at++) {
        if (data[at] == 0xfe && data[at + 1] == 0xed) {
            receive(data + start, at - start);
            start = ++at + 1;
        }
    }
    receive(data + start, size - start);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int is_made;

    if (!is_made) {
        make_flash();
        is_made = 1;
    }
    flash_sim_restore();
    handover = (struct boot_handover){ .magic = BOOT_HANDOVER_MAGIC };
    console.at = console.end = air.at = air.end = 0;
    images_start();
    smp_image_start();
    serving_start();
    console_start();
    divide(data, (uint32_t)size);
    if (setjmp(restarted) == 0) {
        serve();
    }
    /* What ran is still there, whatever came. Verifying it each time would take half of all time. */
    uint8_t now_there[sizeof running];

    if (slots_running(BOOT_APP) != 0
        || nv_area_read(&boot_bench.unit[BOOT_APP].slot[0].area, 0, now_there, running_bytes)
        || memcmp(now_there, running, running_bytes) != 0
        || (slots_is_known(BOOT_APP, 0) && slots_look(BOOT_APP, 0)->status != BOOT_GOOD)) {
        __builtin_trap();
    }
    return 0;
}
