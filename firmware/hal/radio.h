/* What a chip with BLE supplies as `hal.radio`. SPDX-License-Identifier: Apache-2.0
 *
 * A struct hal_uart whose bytes are SMP packets, one after the other, as firmware/SPEC.md has them.
 * The chip's own BLE stack stays in the chip's folder, which has to
 *
 * - advertise RADIO_SERVICE, connectable, under a name, again whenever a connection has ended;
 * - serve RADIO_CHARACTERISTIC with the properties write without response and notify;
 * - keep what is written to it until read() fetches it: room for two packets of the profile's
 *   smp_buffer_bytes, because a client does not wait for the first to be fetched. Where it does
 *   not fit, drop the packet that was begun, whole;
 * - drop the bytes of a packet whose connection ended before it was complete: whoever connects next
 *   begins with a header;
 * - send what write() gets, a packet at a time, as notifications of at most the connection's ATT MTU
 *   less 3 bytes each, to the connection that subscribed; write() may wait for the stack to take
 *   them, and drops them when nobody is subscribed;
 * - ask for an ATT MTU of 247 or more, and the data length extension: RADIO_CHARACTERISTIC carries
 *   MTU less 3 bytes a packet.
 *
 * read() never waits and, like the stack's events, does not call the firmware. Nothing here asks for
 * pairing: images are signed, and everything else over SMP is as public as on the console. A
 * product that wants more demands an encrypted link for the characteristic.
 *
 * No port with a radio exists yet: on virtual boards host/tinyseal/virtual/air.py does this, on the
 * other side of a serial line. UNTESTED ON SILICON. */
#ifndef RADIO_H
#define RADIO_H

#include "hal.h"

/* 128-bit UUIDs, least significant byte first, as stacks and advertisements want them:
 * 8d53dc1d-1db7-4cd3-868b-8a527460aa84 and da2e7828-fbce-4e01-ae9e-261174997c48. */
#define RADIO_SERVICE                                                                            \
    { 0x84, 0xaa, 0x60, 0x74, 0x52, 0x8a, 0x8b, 0x86,                                            \
      0xd3, 0x4c, 0xb7, 0x1d, 0x1d, 0xdc, 0x53, 0x8d }
#define RADIO_CHARACTERISTIC                                                                     \
    { 0x48, 0x7c, 0x99, 0x74, 0x11, 0x26, 0x9e, 0xae,                                            \
      0x01, 0x4e, 0xce, 0xfb, 0x28, 0x78, 0x2e, 0xda }

#endif
