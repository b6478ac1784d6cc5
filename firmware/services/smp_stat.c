/* SMP group 2, stat. SPDX-License-Identifier: Apache-2.0 */
#include "smp_stat.h"

#define ENOGROUP 2 /* STAT_MGMT_ERR_INVALID_GROUP */

static const struct smp_stat *stats;
static uint32_t stat_count;

void smp_stat_start(const struct smp_stat *told, uint32_t count)
{
    stats = told;
    stat_count = count;
}

static int show(struct smp_request *r)
{
    struct cbor_string name = { 0 };
    const struct cbor_field fields[] = { { "name", CBOR_TEXT, &name } };

    if (smp_read(r, fields, 1) || !name.at) {
        return SMP_EINVAL;
    }
    for (uint32_t i = 0; i < stat_count; i++) {
        if (!cbor_is_text(&name, stats[i].name)) {
            continue;
        }
        cbor_put_map(&r->out, 2);
        cbor_put_text(&r->out, "name");
        cbor_put_text(&r->out, stats[i].name);
        cbor_put_text(&r->out, "fields");
        cbor_put_map(&r->out, stats[i].count);
        for (uint32_t j = 0; j < stats[i].count; j++) {
            cbor_put_text(&r->out, stats[i].fields[j].name);
            cbor_put_uint(&r->out, *stats[i].fields[j].value);
        }
        return SMP_OK;
    }
    return SMP_GROUP(ENOGROUP);
}

static int list(struct smp_request *r)
{
    cbor_put_map(&r->out, 1);
    cbor_put_text(&r->out, "stat_list");
    cbor_put_array(&r->out, stat_count);
    for (uint32_t i = 0; i < stat_count; i++) {
        cbor_put_text(&r->out, stats[i].name);
    }
    return SMP_OK;
}

static enum smp_error general(int rc)
{
    return rc == ENOGROUP ? SMP_ENOENT : SMP_EUNKNOWN;
}

static const struct smp_command commands[] = {
    { 0, show, 0 },
    { 1, list, 0 },
};

const struct smp_group smp_stat_group = {
    .id = 2,
    .commands = commands,
    .count = sizeof commands / sizeof commands[0],
    .general = general,
};
