/* SMP over a line of its own. SPDX-License-Identifier: Apache-2.0 */
#include "smp_stream.h"

#include <string.h>

static uint32_t packet_bytes(const struct smp_stream *s)
{
    return SMP_HEADER_BYTES + ((uint32_t)s->header[2] << 8 | s->header[3]);
}

static void begin(struct smp_stream *s)
{
    s->len = 0;
    s->is_lost = 0;
}

uint32_t smp_stream_push(struct smp_stream *s, uint8_t byte)
{
    if (s->len < SMP_HEADER_BYTES) {
        s->header[s->len] = byte;
    } else if (!s->is_lost) {
        s->packet[s->len] = byte;
    }
    s->len++;
    if (s->len < SMP_HEADER_BYTES) {
        return 0;
    }
    const uint32_t wanted = packet_bytes(s);

    if (s->len == SMP_HEADER_BYTES && !s->is_lost) {
        s->is_lost = wanted > s->cap;
        if (!s->is_lost) {
            memcpy(s->packet, s->header, SMP_HEADER_BYTES);
        }
    }
    if (s->len < wanted) {
        return 0;
    }
    const uint32_t bytes = s->is_lost ? 0 : wanted;

    s->bad += s->is_lost;
    begin(s);
    return bytes;
}

int smp_stream_is_open(const struct smp_stream *s)
{
    return s->len > 0;
}

void smp_stream_lose(struct smp_stream *s)
{
    s->is_lost = 1;
}

void smp_stream_forget(struct smp_stream *s)
{
    s->bad += s->len > 0;
    begin(s);
}
