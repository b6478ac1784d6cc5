/* Consents, and logs of statistics, of any bytes. SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_telemetry.h"

#include <string.h>

#include "flash_sim.h"
#include "stack.h"
#include "telemetry.h"

#define ERASE_BYTES 512u
#define STORAGE_SECTORS 4u
#define LOG_SECTORS 3u
#define UNIT 4u

static const uint8_t device_id[16] = { 'd', 'e' };
static const uint8_t device_seed[32] = { 1 };
static const uint8_t owner[32] = { 3 }; /* nobody knows what would sign for it */
static const struct capsule_tensor tensor = { .bytes = 4, .dtype = CAPSULE_S8 };
static const struct capsule capsule = { .inputs = &tensor, .outputs = &tensor,
                                        .input_count = 1, .output_count = 1 };
static uint8_t bytes[4];
static uint32_t count;

uint32_t stack_bytes(void)
{
    return 4096;
}

uint32_t stack_high_water(void)
{
    return 0;
}

static void set(struct nv_kv *kv, uint16_t key, const void *value, uint32_t len)
{
    if (nv_kv_set(kv, key, value, len)) {
        __builtin_trap();
    }
}

static void start(struct telemetry *t)
{
    const struct telemetry_facts facts = { .firmware = "1", .inferences = &count,
                                           .refused = &count, .hz = 1000 };

    telemetry_start(t, &facts, &capsule, bytes, bytes);
}

/* Every record lies in the log, and they come to an end. */
static void read_all(const struct telemetry *t)
{
    struct nv_log_record record;
    uint32_t after = 0, seen = 0;

    while (telemetry_find(t, after, &record) == 1) {
        if (record.number <= after || record.offset > t->log.area.bytes
            || record.len > t->log.area.bytes - record.offset
            || ++seen > t->log.area.bytes / UNIT) {
            __builtin_trap();
        }
        after = record.number;
    }
}

void fuzz_telemetry(const uint8_t *data, uint32_t size)
{
    static struct telemetry telemetry;
    struct nv_kv storage = { .area = { &flash_sim, 0, STORAGE_SECTORS * ERASE_BYTES } };

    if (size < 2) {
        return;
    }
    const uint32_t what = data[0] % 3;

    data++;
    size--;
    flash_sim_configure((STORAGE_SECTORS + LOG_SECTORS) * ERASE_BYTES, ERASE_BYTES, UNIT);
    if (nv_kv_mount(&storage)) {
        __builtin_trap();
    }
    set(&storage, NV_KEYS_DEVICE_ID, device_id, sizeof device_id);
    set(&storage, NV_KEYS_DEVICE_KEY, device_seed, sizeof device_seed);
    set(&storage, NV_KEYS_OWNER_KEY, owner, sizeof owner);
    if (what == 1) {
        set(&storage, NV_KEYS_CONSENT, data, size < 200 ? size : 200);
        set(&storage, NV_KEYS_PRIVACY, data, size < 8 ? size : 8);
    }
    memset(&telemetry, 0, sizeof telemetry);
    telemetry.consent.storage = &storage;
    telemetry.log.area = (struct nv_area){ &flash_sim, STORAGE_SECTORS * ERASE_BYTES,
                                           LOG_SECTORS * ERASE_BYTES };
    for (uint32_t at = 0; what == 2 && at + UNIT <= size && at < LOG_SECTORS * ERASE_BYTES;
         at += UNIT) {
        if (memcmp(data + at, "\xff\xff\xff\xff", UNIT) != 0) {
            flash_sim.program(STORAGE_SECTORS * ERASE_BYTES + at, data + at, UNIT);
        }
    }
    start(&telemetry);
    if (telemetry_allow(&telemetry, data, size) == 0
        || telemetry.consent.level != CONSENT_NONE) {
        __builtin_trap(); /* forged */
    }
    telemetry.consent.level = CONSENT_SAMPLES;
    read_all(&telemetry);
    if (telemetry.is_open) {
        for (uint32_t i = 0; i < 4; i++) {
            (void)nv_log_append(&telemetry.log, data, size % 300);
        }
        read_all(&telemetry);
    }
    flash_sim.bytes = 0;
}
