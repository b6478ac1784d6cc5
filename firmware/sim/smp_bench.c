/* The image group of a device in memory, and a client that updates it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "smp_bench.h"

#include <string.h>

#include "boot_bench.h"
#include "sha256.h"
#include "slots.h"
#include "smp.h"
#include "smp_image.h"

#define CHUNK_BYTES 120u
#define STATE 0u
#define UPLOAD 1u

static const struct smp_group *const groups[] = { &smp_image_group };
static struct smp_server server;
static struct boot_handover left;
static uint8_t packet[256 + 768]; /* a request, and behind it its answer */
static struct cbor_writer out;

void smp_bench_start(const struct boot_handover *handover)
{
    left = *handover;
    slots_start(&boot_bench, &left);
    smp_image_start();
    server = (struct smp_server){
        .groups = groups, .group_count = 1, .end = packet + sizeof packet
    };
}

static void begin(uint32_t command, uint32_t pairs)
{
    memset(packet, 0, SMP_HEADER_BYTES);
    packet[0] = 2 | 1 << 3; /* a write, version 2 */
    packet[5] = 1;
    packet[7] = (uint8_t)command;
    out = (struct cbor_writer){ packet + SMP_HEADER_BYTES, packet + SMP_HEADER_BYTES,
                                packet + 256, 0 };
    cbor_put_map(&out, pairs);
}

/* Sends what was begun and reads two numbers of the answer. */
static int ask(const struct cbor_field *fields, uint32_t count)
{
    const uint32_t len = (uint32_t)(out.at - out.start);
    uint32_t bytes = 0;

    packet[2] = (uint8_t)(len >> 8);
    packet[3] = (uint8_t)len;
    if (out.is_full || smp_start(&server, packet, SMP_HEADER_BYTES + len)) {
        return -1;
    }
    while (smp_is_busy(&server)) {
        bytes = smp_step(&server);
    }
    struct cbor_reader in = { server.answer + SMP_HEADER_BYTES, server.answer + bytes };

    return bytes < SMP_HEADER_BYTES ? -1 : cbor_read_map(&in, fields, count);
}

/* Any answer but a refusal: `err` holds a map, which is no number. */
static int ask_plainly(void)
{
    uint32_t none = 0;
    const struct cbor_field fields[] = { { "err", CBOR_UINT, &none } };

    return ask(fields, 1);
}

int smp_bench_upload(uint32_t image, const uint8_t *bytes, uint32_t len)
{
    uint8_t digest[SHA256_BYTES];
    struct sha256 hash;
    uint32_t is_match = 0;

    sha256_init(&hash);
    sha256_update(&hash, bytes, len);
    sha256_final(&hash, digest);
    for (uint32_t at = 0; at < len;) {
        const uint32_t part = len - at < CHUNK_BYTES ? len - at : CHUNK_BYTES;
        uint32_t off = UINT32_MAX;
        const struct cbor_field fields[] = {
            { "off", CBOR_UINT, &off },
            { "match", CBOR_BOOL, &is_match },
        };

        begin(UPLOAD, at == 0 ? 5 : 2);
        cbor_put_text(&out, "off");
        cbor_put_uint(&out, at);
        cbor_put_text(&out, "data");
        cbor_put_bytes(&out, bytes + at, part);
        if (at == 0) {
            cbor_put_text(&out, "len");
            cbor_put_uint(&out, len);
            cbor_put_text(&out, "image");
            cbor_put_uint(&out, image);
            cbor_put_text(&out, "sha");
            cbor_put_bytes(&out, digest, sizeof digest);
        }
        if (ask(fields, 2) || off != at + part) {
            return -1;
        }
        at = off;
    }
    return is_match ? 0 : -1;
}

int smp_bench_test(const uint8_t hash[32])
{
    begin(STATE, 1);
    cbor_put_text(&out, "hash");
    cbor_put_bytes(&out, hash, 32);
    return ask_plainly();
}

int smp_bench_confirm(void)
{
    begin(STATE, 1);
    cbor_put_text(&out, "confirm");
    cbor_put_bool(&out, 1);
    return ask_plainly();
}
