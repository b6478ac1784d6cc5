/* SMP group 65, prepaid queries. SPDX-License-Identifier: Apache-2.0 */
#include "smp_meter.h"

_Static_assert(METER_EIDENTITY == METER_EEMPTY - (SMP_METER_IDENTITY - SMP_METER_EMPTY),
               "reasons are the meter's errors, counted from 1");

static struct meter *meter;

void smp_meter_start(struct meter *served)
{
    meter = served;
}

static uint32_t reason(int err)
{
    return err <= METER_EEMPTY && err >= METER_EIDENTITY ? (uint32_t)(METER_EEMPTY - err + 1)
                                                         : SMP_METER_FLASH;
}

static int refuse(int err)
{
    return SMP_GROUP((int)reason(err));
}

static void put_uint(struct smp_request *r, const char *key, uint32_t value)
{
    cbor_put_text(&r->out, key);
    cbor_put_uint(&r->out, value);
}

static void put_bytes(struct smp_request *r, const char *key, const void *bytes, uint32_t len)
{
    cbor_put_text(&r->out, key);
    cbor_put_bytes(&r->out, bytes, len);
}

static int status(struct smp_request *r)
{
    if (!meter) {
        return SMP_GROUP(SMP_METER_UNMETERED);
    }
    cbor_put_map(&r->out, 6);
    put_uint(r, "status", meter->status ? reason(meter->status) : 0);
    put_uint(r, "balance", meter_balance(meter));
    put_uint(r, "counter", nv_counter_value(&meter->queries));
    put_uint(r, "life", nv_counter_headroom(&meter->queries));
    put_bytes(r, "model", meter->model_id, METER_SUBJECT_BYTES);
    put_bytes(r, "family", meter->family, METER_SUBJECT_BYTES);
    return SMP_OK;
}

static int redeem(struct smp_request *r)
{
    struct cbor_string bytes = { 0 };
    const struct cbor_field fields[] = { { "voucher", CBOR_BYTES, &bytes } };

    if (smp_read(r, fields, 1) || !bytes.at) {
        return SMP_EINVAL;
    }
    if (!meter) {
        return SMP_GROUP(SMP_METER_UNMETERED);
    }
    const int err = meter_redeem(meter, bytes.at, bytes.len);

    if (err) {
        return refuse(err);
    }
    cbor_put_map(&r->out, 1);
    put_uint(r, "balance", meter_balance(meter));
    return SMP_OK;
}

static int receipt(struct smp_request *r)
{
    uint8_t made[METER_RECEIPT_MAX_BYTES];
    uint32_t have = 0;
    const struct cbor_field fields[] = { { "have", CBOR_UINT, &have } };

    if (smp_read(r, fields, 1)) {
        return SMP_EINVAL;
    }
    const int len = meter ? meter_receipt(meter, have, made) : 0;

    if (len <= 0) {
        return meter ? refuse(len) : SMP_GROUP(SMP_METER_UNMETERED);
    }
    cbor_put_map(&r->out, 1);
    put_bytes(r, "receipt", made, (uint32_t)len);
    return SMP_OK;
}

/* Who signs: the public half only. */
static int identity(struct smp_request *r)
{
    uint8_t id[NV_KEYS_DEVICE_ID_BYTES], key[ED25519_PUBLIC_BYTES];

    if (!meter) {
        return SMP_GROUP(SMP_METER_UNMETERED);
    }
    const int err = meter_identity(meter, id, key);

    if (err) {
        return refuse(err);
    }
    cbor_put_map(&r->out, 2);
    put_bytes(r, "id", id, sizeof id);
    put_bytes(r, "key", key, sizeof key);
    return SMP_OK;
}

static const struct smp_command commands[] = {
    { 0, status, 0 },
    { 1, 0, redeem },
    { 2, receipt, 0 },
    { 3, identity, 0 },
};

const struct smp_group smp_meter_group = {
    .id = 65,
    .commands = commands,
    .count = sizeof commands / sizeof commands[0],
};
