/* SMP: packets to handlers, answers to packets. SPDX-License-Identifier: Apache-2.0 */
#include "smp.h"

#include <string.h>

#define OP_READ 0u
#define OP_WRITE 2u
#define OP_MASK 7u
#define VERSION_SHIFT 3
#define VERSION_MASK 3u

static uint32_t load16_be(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static const struct smp_group *group_of(const struct smp_server *server, uint16_t id)
{
    for (uint32_t i = 0; i < server->group_count; i++) {
        if (server->groups[i]->id == id) {
            return server->groups[i];
        }
    }
    return 0;
}

static const struct smp_command *command_of(const struct smp_group *group, uint8_t id)
{
    for (uint32_t i = 0; group && i < group->count; i++) {
        if (group->commands[i].id == id) {
            return &group->commands[i];
        }
    }
    return 0;
}

int smp_start(struct smp_server *server, uint8_t *packet, uint32_t bytes)
{
    static const struct smp_command none = { 0 };
    struct smp_request *const r = &server->request;

    if (smp_is_busy(server)) {
        return SMP_EBUSY;
    }
    server->counts.requests++;
    if (bytes < SMP_HEADER_BYTES || bytes - SMP_HEADER_BYTES != load16_be(packet + 2)) {
        server->counts.dropped++;
        return 0;
    }
    const uint32_t op = packet[0] & OP_MASK;
    const uint32_t version = packet[0] >> VERSION_SHIFT & VERSION_MASK;

    if (op != OP_READ && op != OP_WRITE) {
        server->counts.dropped++; /* an answer, or a client's echo of one */
        return 0;
    }
    memset(r, 0, sizeof *r);
    r->group = (uint16_t)load16_be(packet + 4);
    r->sequence = packet[6];
    r->command = packet[7];
    r->is_write = op == OP_WRITE;
    r->is_by_radio = server->is_by_radio;
    r->version = version == 0 ? 1 : 2;
    server->packet = packet;
    server->packet_bytes = bytes;
    server->answer = packet + bytes;
    server->group = group_of(server, r->group);
    server->running = command_of(server->group, r->command);
    server->refusal = version > 1 ? SMP_ETOONEW : SMP_OK;
    if (!server->running || !(r->is_write ? server->running->write : server->running->read)) {
        server->running = &none;
        server->refusal = server->refusal ? server->refusal : SMP_ENOTSUP;
    }
    return 0;
}

static void rewind_answer(struct smp_server *server)
{
    struct cbor_writer *const out = &server->request.out;

    out->start = server->answer + SMP_HEADER_BYTES;
    out->at = out->start;
    out->end = server->end;
    out->is_full = 0;
}

static void put_refusal(struct smp_server *server, int rc)
{
    struct smp_request *const r = &server->request;

    server->counts.refused++;
    r->then = 0;
    rewind_answer(server);
    if (!(rc & SMP_GROUP_BIT)) {
        cbor_put_map(&r->out, 1);
        cbor_put_text(&r->out, "rc");
        cbor_put_uint(&r->out, (uint32_t)rc);
        return;
    }
    rc &= ~SMP_GROUP_BIT;
    cbor_put_map(&r->out, 1);
    if (r->version == 1) {
        cbor_put_text(&r->out, "rc");
        cbor_put_uint(&r->out, server->group->general ? server->group->general(rc)
                                                      : SMP_EUNKNOWN);
        return;
    }
    cbor_put_text(&r->out, "err");
    cbor_put_map(&r->out, 2);
    cbor_put_text(&r->out, "group");
    cbor_put_uint(&r->out, r->group);
    cbor_put_text(&r->out, "rc");
    cbor_put_uint(&r->out, (uint32_t)rc);
}

static int call(struct smp_server *server)
{
    struct smp_request *const r = &server->request;

    if (server->refusal) {
        return server->refusal;
    }
    r->in.at = server->packet + SMP_HEADER_BYTES;
    r->in.end = server->packet + server->packet_bytes;
    rewind_answer(server);
    const int rc = (r->is_write ? server->running->write : server->running->read)(r);

    r->calls++;
    return rc == SMP_OK && r->out.is_full ? SMP_EMSGSIZE : rc;
}

uint32_t smp_step(struct smp_server *server)
{
    struct smp_request *const r = &server->request;

    if (!smp_is_busy(server) || server->is_in_step) {
        return 0;
    }
    server->is_in_step = 1;
    const int rc = call(server);

    server->is_in_step = 0;
    if (rc == SMP_AGAIN) {
        return 0;
    }
    server->running = 0;
    if (rc != SMP_OK) {
        put_refusal(server, rc);
    } else if (r->out.at == r->out.start) {
        cbor_put_map(&r->out, 0);
    }
    const uint32_t bytes = (uint32_t)(r->out.at - r->out.start);
    uint8_t *const h = server->answer;

    h[0] = (uint8_t)((r->is_write ? OP_WRITE : OP_READ) + 1u
                     + ((uint32_t)(r->version - 1) << VERSION_SHIFT));
    h[1] = 0;
    h[2] = (uint8_t)(bytes >> 8);
    h[3] = (uint8_t)bytes;
    h[4] = (uint8_t)(r->group >> 8);
    h[5] = (uint8_t)r->group;
    h[6] = r->sequence;
    h[7] = r->command;
    return SMP_HEADER_BYTES + bytes;
}

void smp_sent(struct smp_server *server)
{
    if (server->request.then) {
        server->request.then();
    }
}

int smp_read(struct smp_request *request, const struct cbor_field *fields, uint32_t count)
{
    return cbor_read_map(&request->in, fields, count) ? SMP_EINVAL : SMP_OK;
}
