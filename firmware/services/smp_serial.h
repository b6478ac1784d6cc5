/* SMP over a console: packets in lines of base64 among other text.
 * SPDX-License-Identifier: Apache-2.0
 *
 * MCUmgr's framing. A packet is two bytes of length (of packet and CRC, big endian), the packet,
 * its CRC-16; base64 of that in lines that begin with 06 09 (the first) or 04 14 and end in a line
 * feed. No other protocol on the console uses 04 or 06, so they begin a line wherever they stand:
 * a lost line feed costs one packet and no more.
 *
 * Bytes are hostile: nothing is written past `cap`, and every packet, however bad, ends at the next
 * first line. */
#ifndef SMP_SERIAL_H
#define SMP_SERIAL_H

#include <stddef.h>
#include <stdint.h>

#define SMP_SERIAL_OVERHEAD 4u /* bytes of `frame` around the packet */

struct smp_serial {
    uint8_t *frame; /* the caller's, of `cap` bytes, for length, packet and CRC */
    uint32_t cap;

    /* The rest is the module's own. */
    uint32_t len;      /* bytes of the frame that came */
    uint32_t group;    /* base64: up to four characters, six bits each */
    uint8_t chars;     /* how many of them there are */
    uint8_t padding;   /* how many of them are '=' */
    uint8_t state;
    uint8_t is_broken; /* the packet is of no use any more */
    uint32_t bad;      /* packets that were given up: damaged, too long, out of turn */
};

enum smp_serial_event {
    SMP_SERIAL_OTHER = 0,  /* the byte belongs to somebody else */
    SMP_SERIAL_MAYBE = 1,  /* likewise, unless SMP_SERIAL_BEGIN follows at once */
    SMP_SERIAL_BEGIN = 2,  /* a line begins; whatever line went before was not ended */
    SMP_SERIAL_TAKEN = 3,
    SMP_SERIAL_PACKET = 4, /* it completed a packet: smp_serial_packet() */
};

enum smp_serial_event smp_serial_push(struct smp_serial *serial, uint8_t byte);

/* Whether a packet has begun, is not complete and not given up: then `frame` is in use. */
int smp_serial_is_open(const struct smp_serial *serial);

/* Gives up the packet that has begun. */
void smp_serial_drop(struct smp_serial *serial);

/* The packet just completed; it stays until the next byte is pushed. */
uint8_t *smp_serial_packet(const struct smp_serial *serial, uint32_t *bytes);

/* Writes a packet as lines. */
void smp_serial_write(const uint8_t *packet, uint32_t bytes,
                      void (*write)(const void *bytes, size_t len));

#endif
