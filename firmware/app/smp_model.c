/* SMP group 64, the model. SPDX-License-Identifier: Apache-2.0 */
#include "smp_model.h"

#include <string.h>

#include "board_config.h"
#include "hal.h"
#include "model.h"
#include "nv_keys.h"
#include "nv_kv.h"
#include "status.h"

#define NONE UINT32_MAX /* an argument that was not sent */

static int refuse(int status)
{
    return SMP_GROUP(-status);
}

static void put_text(struct smp_request *r, const char *key, const char *value)
{
    cbor_put_text(&r->out, key);
    cbor_put_text(&r->out, value);
}

static void put_uint(struct smp_request *r, const char *key, uint32_t value)
{
    cbor_put_text(&r->out, key);
    cbor_put_uint(&r->out, value);
}

/* The device's id of its provisioning, or else the chip's number. */
static uint32_t device_id(uint8_t id[NV_KEYS_DEVICE_ID_BYTES])
{
#ifdef BOARD_STORAGE_OFFSET
    struct nv_kv kv = { .area = { hal.flash, BOARD_STORAGE_OFFSET, BOARD_STORAGE_BYTES } };
    uint32_t len = NV_KV_ABSENT;

    if (nv_kv_mount(&kv) == 0
        && nv_kv_get(&kv, NV_KEYS_DEVICE_ID, id, NV_KEYS_DEVICE_ID_BYTES, &len) == 0
        && len != NV_KV_ABSENT) {
        return len;
    }
#endif
    return (uint32_t)hal.id->read(id, NV_KEYS_DEVICE_ID_BYTES);
}

static void put_id(struct smp_request *r)
{
    uint8_t id[NV_KEYS_DEVICE_ID_BYTES];
    char text[2 * NV_KEYS_DEVICE_ID_BYTES];
    const uint32_t len = device_id(id);

    for (uint32_t i = 0; i < len; i++) {
        text[2 * i] = "0123456789abcdef"[id[i] >> 4];
        text[2 * i + 1] = "0123456789abcdef"[id[i] & 15];
    }
    cbor_put_text(&r->out, "id");
    cbor_put_text_bytes(&r->out, text, 2 * len);
}

static int identity(struct smp_request *r)
{
    const struct capsule *const capsule = model_capsule();

    cbor_put_map(&r->out, 13);
    put_text(r, "board", BOARD_NAME);
    put_text(r, "firmware", FIRMWARE_VERSION);
    put_id(r);
    put_text(r, "model", capsule->name);
    cbor_put_text(&r->out, "model_id");
    cbor_put_bytes(&r->out, capsule->model_id, sizeof capsule->model_id);
    put_text(r, "kernels", capsule->kernels);
    put_uint(r, "abi", capsule->abi);
    put_uint(r, "macs", capsule->macs);
    put_uint(r, "layers", capsule->layer_count);
    put_uint(r, "inputs", capsule->input_count);
    put_uint(r, "outputs", capsule->output_count);
    put_uint(r, "labels", capsule->label_count);
    put_uint(r, "staging", model_staging_bytes());
    return SMP_OK;
}

static int tensor(struct smp_request *r)
{
    static const char *const dtypes[] = {
        "?", "int8", "int16", "int32", "uint8", "bool", "float32", "int64",
    };
    const struct capsule *const capsule = model_capsule();
    uint32_t input = NONE, output = NONE;
    const struct cbor_field fields[] = {
        { "input", CBOR_UINT, &input },
        { "output", CBOR_UINT, &output },
    };

    if (smp_read(r, fields, 2) || (input == NONE) == (output == NONE)) {
        return SMP_EINVAL;
    }
    if (input != NONE ? input >= capsule->input_count : output >= capsule->output_count) {
        return refuse(STATUS_ERANGE);
    }
    const struct capsule_tensor *const t =
        input != NONE ? &capsule->inputs[input] : &capsule->outputs[output];

    cbor_put_map(&r->out, 6);
    put_text(r, "name", t->name);
    put_text(r, "dtype", dtypes[t->dtype < sizeof dtypes / sizeof dtypes[0] ? t->dtype : 0]);
    cbor_put_text(&r->out, "dims");
    cbor_put_array(&r->out, t->rank);
    for (uint32_t i = 0; i < t->rank && i < CAPSULE_MAX_RANK; i++) {
        cbor_put_uint(&r->out, t->dims[i]);
    }
    cbor_put_text(&r->out, "scale");
    cbor_put_float(&r->out, t->scale);
    cbor_put_text(&r->out, "zero_point");
    cbor_put_int(&r->out, t->zero_point);
    put_uint(r, "bytes", t->bytes);
    return SMP_OK;
}

static int load(struct smp_request *r)
{
    uint32_t input = 0, offset = NONE;
    struct cbor_string data = { 0 };
    const struct cbor_field fields[] = {
        { "input", CBOR_UINT, &input },
        { "off", CBOR_UINT, &offset },
        { "data", CBOR_BYTES, &data },
    };

    if (smp_read(r, fields, 3) || offset == NONE || !data.at) {
        return SMP_EINVAL;
    }
    if (model_is_running()) {
        return SMP_EBUSY;
    }
    const int32_t loaded = model_load(input, offset, data.at, data.len);

    if (loaded < 0) {
        return refuse((int)loaded);
    }
    cbor_put_map(&r->out, 1);
    put_uint(r, "off", (uint32_t)loaded);
    return SMP_OK;
}

static int infer(struct smp_request *r)
{
    uint32_t times = 1;
    uint64_t ticks;
    const struct cbor_field fields[] = { { "times", CBOR_UINT, &times } };

    if (smp_read(r, fields, 1) || times == 0) {
        return SMP_EINVAL;
    }
    if (model_is_running()) {
        return SMP_EBUSY;
    }
    const int err = model_infer(times, &ticks);

    if (err) {
        return refuse(err);
    }
    const uint64_t us = ticks / hal.clock->hz * 1000000u
                        + ticks % hal.clock->hz * 1000000u / hal.clock->hz;

    cbor_put_map(&r->out, 2);
    put_uint(r, "times", times);
    put_uint(r, "us", us < UINT32_MAX ? (uint32_t)us : UINT32_MAX);
    return SMP_OK;
}

static int output(struct smp_request *r)
{
    uint32_t index = 0, offset = 0, len = 0;
    const struct cbor_field fields[] = {
        { "output", CBOR_UINT, &index },
        { "off", CBOR_UINT, &offset },
        { "len", CBOR_UINT, &len },
    };

    if (smp_read(r, fields, 3)) {
        return SMP_EINVAL;
    }
    if (model_is_running()) {
        return SMP_EBUSY;
    }
    const uint8_t *const bytes = model_output(index, offset, len);

    if (!bytes || len == 0) {
        return refuse(STATUS_ERANGE);
    }
    cbor_put_map(&r->out, 2);
    put_uint(r, "off", offset);
    cbor_put_text(&r->out, "data");
    cbor_put_bytes(&r->out, bytes, len);
    return SMP_OK;
}

static int self_test(struct smp_request *r)
{
    uint32_t crc;

    if (model_is_running()) {
        return SMP_EBUSY;
    }
    const int err = model_self_test(&crc);

    if (err) {
        return refuse(err);
    }
    cbor_put_map(&r->out, 1);
    put_uint(r, "crc", crc);
    return SMP_OK;
}

static int clear(struct smp_request *r)
{
    (void)r;
    if (model_is_running()) {
        return SMP_EBUSY;
    }
    model_clear();
    return SMP_OK;
}

static enum smp_error general(int rc)
{
    switch (-rc) {
    case STATUS_ERANGE:
        return SMP_EINVAL;
    case STATUS_EMODEL:
    case STATUS_EABI:
        return SMP_ENOENT;
    case STATUS_EINPUT:
    case STATUS_EONCE:
        return SMP_EBADSTATE;
    case STATUS_EEMPTY:
    case STATUS_EWORN:
    case STATUS_EMETER:
        return SMP_EACCESSDENIED;
    case STATUS_ETEST:
        return SMP_ECORRUPT;
    default:
        return SMP_EUNKNOWN;
    }
}

static const struct smp_command commands[] = {
    { 0, identity, 0 },
    { 1, tensor, 0 },
    { 2, 0, load },
    { 3, 0, infer },
    { 4, output, 0 },
    { 5, 0, self_test },
    { 6, 0, clear },
};

const struct smp_group smp_model_group = {
    .id = 64,
    .commands = commands,
    .count = sizeof commands / sizeof commands[0],
    .general = general,
};
