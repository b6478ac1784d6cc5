/* SMP over a line of its own: packets one after the other, as BLE's SMP service carries them.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A packet's header says how long it is, and nothing else marks where one begins: so every byte of
 * one is taken, also of those that are of no use, and after a silence a new one begins.
 *
 * Bytes are hostile: nothing is written past `cap`. */
#ifndef SMP_STREAM_H
#define SMP_STREAM_H

#include <stdint.h>

#include "smp.h"

struct smp_stream {
    uint8_t *packet; /* the caller's, of `cap` bytes, SMP_HEADER_BYTES at least */
    uint32_t cap;

    /* The rest is the module's own. */
    uint8_t header[SMP_HEADER_BYTES];
    uint32_t len;    /* bytes of the packet that came */
    uint8_t is_lost; /* the packet is passed over */
    uint32_t bad;    /* packets that were: too long, lost, cut off */
};

/* Returns the bytes of the packet that the byte completed; it lies in `packet` until the next byte
 * is pushed. 0: there is none. */
uint32_t smp_stream_push(struct smp_stream *stream, uint8_t byte);

/* Whether a packet is under way. */
int smp_stream_is_open(const struct smp_stream *stream);

/* `packet` is needed for something else: the packet under way, or else the next one, is passed
 * over. */
void smp_stream_lose(struct smp_stream *stream);

/* What comes next begins a packet. */
void smp_stream_forget(struct smp_stream *stream);

#endif
