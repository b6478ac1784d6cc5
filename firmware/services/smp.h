/* SMP, the Simple Management Protocol of MCUmgr: packets to handlers, answers to packets.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Versions 1 and 2. A packet is 8 bytes of header, then a CBOR map (cbor.h). A transport
 * (smp_serial.h, smp_stream.h) brings a request into its own buffer, calls smp_start(), then
 * smp_step() until the answer is there.
 *
 * A handler gets the request whole, and does at most one operation on flash. It answers, or returns
 * SMP_AGAIN and is called again with the same request: inference runs on in between. */
#ifndef SMP_H
#define SMP_H

#include <stdint.h>

#include "cbor.h"

#define SMP_HEADER_BYTES 8u

/* Behind the longest request. Any refusal fits, and any answer to a request that is long because of
 * what it brings: the longest one says `off` and `match`. */
#define SMP_ANSWER_BYTES 32u

/* Why a request is refused, in all groups: MCUmgr's MGMT_ERR_*. */
enum smp_error {
    SMP_OK = 0,
    SMP_EUNKNOWN = 1,
    SMP_ENOMEM = 2,
    SMP_EINVAL = 3,
    SMP_ETIMEOUT = 4,
    SMP_ENOENT = 5,
    SMP_EBADSTATE = 6,
    SMP_EMSGSIZE = 7,
    SMP_ENOTSUP = 8,
    SMP_ECORRUPT = 9,
    SMP_EBUSY = 10,
    SMP_EACCESSDENIED = 11,
    SMP_ETOOOLD = 12,
    SMP_ETOONEW = 13,
};

/* What a handler returns: SMP_OK; one of the above; SMP_GROUP(rc) for a reason of its own group,
 * rc from 1; SMP_AGAIN when it has more to do. */
#define SMP_GROUP_BIT 0x10000
#define SMP_GROUP(rc) (SMP_GROUP_BIT | (rc))
#define SMP_AGAIN 0x20000

struct smp_request {
    uint16_t group;
    uint8_t command;
    uint8_t version;         /* 1 or 2 */
    uint8_t is_write;
    uint8_t is_by_radio;
    uint8_t sequence;
    uint32_t calls;          /* how often the handler was called for it before */
    struct cbor_reader in;   /* the request's map; anew at every call */
    struct cbor_writer out;  /* for one map; left as it is, the answer is an empty one */
    void (*then)(void);      /* to be called once the answer has gone out; NULL: nothing */
};

struct smp_command {
    uint8_t id;
    int (*read)(struct smp_request *request);  /* NULL: cannot be read */
    int (*write)(struct smp_request *request); /* NULL: cannot be written */
};

struct smp_group {
    uint16_t id;
    const struct smp_command *commands;
    uint32_t count;

    /* What a reason of this group is called in version 1, which has only enum smp_error. NULL:
     * SMP_EUNKNOWN. */
    enum smp_error (*general)(int rc);
};

/* Counted from start-up; the stat group tells them. */
struct smp_counts {
    uint32_t requests; /* packets that came whole */
    uint32_t refused;  /* of them, those answered with an error */
    uint32_t dropped;  /* of them, those without an answer: no request, or not of its own length */
};

struct smp_server {
    const struct smp_group *const *groups;
    uint32_t group_count;
    uint8_t *end; /* of the buffer that requests come in: an answer is put behind its request */
    uint8_t is_by_radio; /* the next packet; the transport sets it */

    /* The rest is the module's own. */
    struct smp_counts counts;
    struct smp_request request;
    const struct smp_command *running; /* NULL: nothing is asked */
    const struct smp_group *group;
    uint8_t *packet;
    uint32_t packet_bytes;
    uint8_t *answer;
    int refusal; /* settled before any handler is asked */
    uint8_t is_in_step;
};

/* Takes a request, which must stay where it is until it is answered, as must what lies behind it
 * up to server->end: SMP_ANSWER_BYTES or more. Returns 0, or SMP_EBUSY while another is not
 * answered yet; then the packet is dropped. */
int smp_start(struct smp_server *server, uint8_t *packet, uint32_t bytes);

/* 1 from smp_start() on until the answer is there. */
static inline int smp_is_busy(const struct smp_server *server)
{
    return server->running != 0;
}

/* Does one thing for the request; nothing, when a handler is at it already and what it does calls
 * here. Returns the bytes of the answer in server->answer once it is
 * complete; 0 while it is not, or when there will be none. */
uint32_t smp_step(struct smp_server *server);

/* To be called once the answer has gone out. */
void smp_sent(struct smp_server *server);

/* SMP_EINVAL for an error of cbor_read_map(), else SMP_OK. */
int smp_read(struct smp_request *request, const struct cbor_field *fields, uint32_t count);

#endif
