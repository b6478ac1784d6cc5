/* Vouchers, and records of prepaid queries, of any bytes. SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_meter.h"

#include <string.h>

#include "flash_sim.h"
#include "hmac.h"
#include "meter.h"

#define ERASE_BYTES 1024u
#define COUNTER_SECTORS 2u
#define STORAGE_SECTORS 4u
#define TAG_BYTES 16u
#define RECORD_BYTES 400u /* more than any that is sound */

static const uint8_t device_id[16] = { 'd', 'e' };
static const uint8_t device_seed[32] = { 1 };
static const uint8_t vendor[32] = { 2 }; /* nobody knows what would sign for it */
static const uint8_t model[32] = { 'm', 'o' };
static const uint8_t family[32] = { 'f', 'a' };

static void set(struct nv_kv *kv, uint16_t key, const void *value, uint32_t len)
{
    if (nv_kv_set(kv, key, value, len)) {
        __builtin_trap();
    }
}

static void set_tagged(struct nv_kv *kv, uint16_t key, const uint8_t *record, uint32_t len)
{
    uint8_t tagged[RECORD_BYTES + TAG_BYTES], tag[SHA256_BYTES];
    struct hmac hmac;

    len = len < RECORD_BYTES ? len : RECORD_BYTES;
    hmac_init(&hmac, device_seed, sizeof device_seed);
    hmac_update(&hmac, record, len);
    hmac_final(&hmac, tag);
    memcpy(tagged, record, len);
    memcpy(tagged + len, tag, TAG_BYTES);
    set(kv, key, tagged, len + TAG_BYTES);
}

void fuzz_meter(const uint8_t *data, uint32_t size)
{
    static const uint8_t new_book[8] = { 1, 0, 0xff, 0xff };
    uint8_t receipt[METER_RECEIPT_MAX_BYTES];
    struct meter meter = { .queries_per_bit = 1 };
    uint32_t group;

    if (size < 2) {
        return;
    }
    const uint32_t what = data[0] % 4;
    const int signs = data[0] >= 0xe0; /* signing takes most of the time there is */

    data++;
    size--;
    flash_sim_configure((COUNTER_SECTORS + STORAGE_SECTORS) * ERASE_BYTES, ERASE_BYTES, 4);
    meter.queries.area = (struct nv_area){ &flash_sim, 0, COUNTER_SECTORS * ERASE_BYTES };
    meter.queries.endurance_cycles = 1000;
    meter.storage.area = (struct nv_area){ &flash_sim, COUNTER_SECTORS * ERASE_BYTES,
                                           STORAGE_SECTORS * ERASE_BYTES };
    if (nv_counter_format(&meter.queries, 0) || nv_kv_mount(&meter.storage)) {
        __builtin_trap();
    }
    set(&meter.storage, NV_KEYS_DEVICE_ID, device_id, sizeof device_id);
    set(&meter.storage, NV_KEYS_DEVICE_KEY, device_seed, sizeof device_seed);
    set(&meter.storage, NV_KEYS_VENDOR_KEYS, vendor, sizeof vendor);
    set_tagged(&meter.storage, NV_KEYS_METER_BOOK, what == 2 ? data : new_book,
               what == 2 ? size : sizeof new_book);
    if (what == 3) {
        set_tagged(&meter.storage, NV_KEYS_METER_RECEIPT, data, size);
    }
    const int mounted = meter_mount(&meter, model, family);
    const uint32_t balance = meter_balance(&meter);

    /* A receipt may tell of more queries than were counted. */
    if (what != 2 && (balance != 0 || (mounted && !(what == 3 && mounted == METER_EROLLBACK)))) {
        __builtin_trap();
    }
    if ((what == 0 ? meter_redeem_text(&meter, (const char *)data, size, &group)
                   : meter_redeem(&meter, data, size)) == 0) {
        __builtin_trap(); /* forged */
    }
    for (uint32_t i = 0; i < 3; i++) {
        if ((meter_charge(&meter) == 0) != (i < balance)) {
            __builtin_trap();
        }
    }
    if (signs) {
        const int len = meter_receipt(&meter, 0, receipt);

        if (len > (int)sizeof receipt) {
            __builtin_trap();
        }
    }
    flash_sim.bytes = 0;
}
