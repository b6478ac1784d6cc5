/* SMP group 66, telemetry and consent. SPDX-License-Identifier: Apache-2.0 */
#include "smp_telemetry.h"

_Static_assert(CONSENT_EIDENTITY == CONSENT_EFORM - (SMP_TELEMETRY_IDENTITY - SMP_TELEMETRY_FORM),
               "reasons are consent's errors, counted from 2");

static struct telemetry *telemetry;

void smp_telemetry_start(struct telemetry *served)
{
    telemetry = served;
}

static int refuse(int err)
{
    const int is_named = err <= CONSENT_EFORM && err >= CONSENT_EIDENTITY;

    return SMP_GROUP(is_named ? CONSENT_EFORM - err + SMP_TELEMETRY_FORM : SMP_TELEMETRY_FLASH);
}

static void put_uint(struct smp_request *r, const char *key, uint32_t value)
{
    cbor_put_text(&r->out, key);
    cbor_put_uint(&r->out, value);
}

/* Without consent no more than that. */
static int status(struct smp_request *r)
{
    const struct consent *const consent = &telemetry->consent;
    const int is_allowed = consent->level != CONSENT_NONE;

    cbor_put_map(&r->out, is_allowed ? 10 : 2);
    put_uint(r, "level", (uint32_t)consent->level);
    put_uint(r, "consent", consent->sequence);
    if (is_allowed) {
        put_uint(r, "links", consent->links);
        put_uint(r, "epsilon", consent->epsilon);
        put_uint(r, "budget", consent->budget);
        put_uint(r, "spent", consent->spent);
        put_uint(r, "window", telemetry->observe.window);
        put_uint(r, "count", telemetry->observe.count);
        put_uint(r, "next", telemetry->is_open ? telemetry->log.next : 0);
        cbor_put_text(&r->out, "reference");
        cbor_put_bool(&r->out, telemetry->observe.reference != 0);
    }
    return SMP_OK;
}

static int record(struct smp_request *r)
{
    uint32_t after = 0, offset = 0;
    struct nv_log_record found;
    const struct cbor_field fields[] = {
        { "after", CBOR_UINT, &after },
        { "off", CBOR_UINT, &offset },
    };

    if (smp_read(r, fields, 2)) {
        return SMP_EINVAL;
    }
    if (telemetry->consent.level == CONSENT_NONE) {
        return SMP_GROUP(SMP_TELEMETRY_NOT_ALLOWED);
    }
    if (r->is_by_radio && (telemetry->consent.links & CONSENT_NOT_BY_RADIO)) {
        return SMP_GROUP(SMP_TELEMETRY_LINK);
    }
    if (!telemetry->is_open) {
        return SMP_GROUP(SMP_TELEMETRY_NO_LOG);
    }
    const int is_there = telemetry_find(telemetry, after, &found);

    if (is_there < 0) {
        return refuse(is_there);
    }
    if (!is_there) {
        cbor_put_map(&r->out, 0);
        return SMP_OK;
    }
    const uint32_t bytes = found.len - 1; /* behind the level */

    if (offset > bytes) {
        return SMP_EINVAL;
    }
    cbor_put_map(&r->out, 4);
    put_uint(r, "number", found.number);
    put_uint(r, "len", bytes);
    put_uint(r, "off", offset);
    cbor_put_text(&r->out, "data");

    const uint32_t room = cbor_room(&r->out) - 5;
    const uint32_t len = bytes - offset < room ? bytes - offset : room;
    uint8_t *const data = cbor_open_bytes(&r->out, len);

    if (data && nv_area_read(&telemetry->log.area, found.offset + 1 + offset, data, len)) {
        return SMP_GROUP(SMP_TELEMETRY_FLASH);
    }
    return SMP_OK;
}

static int set_consent(struct smp_request *r)
{
    struct cbor_string bytes = { 0 };
    const struct cbor_field fields[] = { { "consent", CBOR_BYTES, &bytes } };

    if (smp_read(r, fields, 1) || !bytes.at) {
        return SMP_EINVAL;
    }
    if (telemetry->is_running) {
        return SMP_EBUSY;
    }
    const int err = telemetry_allow(telemetry, bytes.at, bytes.len);

    if (err) {
        return refuse(err);
    }
    cbor_put_map(&r->out, 1);
    put_uint(r, "level", (uint32_t)telemetry->consent.level);
    return SMP_OK;
}

static enum smp_error general(int rc)
{
    return rc == SMP_TELEMETRY_NO_LOG ? SMP_ENOTSUP
           : rc == SMP_TELEMETRY_FORM ? SMP_EINVAL
                                      : SMP_EACCESSDENIED;
}

static const struct smp_command commands[] = {
    { 0, status, 0 },
    { 1, record, 0 },
    { 2, 0, set_consent },
};

const struct smp_group smp_telemetry_group = {
    .id = 66,
    .commands = commands,
    .count = sizeof commands / sizeof commands[0],
    .general = general,
};
