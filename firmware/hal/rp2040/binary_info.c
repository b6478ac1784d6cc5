/* What picotool reads in a binary for the RP2040. SPDX-License-Identifier: Apache-2.0
 * Format: Raspberry Pi Pico C/C++ SDK, "pico_binary_info"; the marker lies in the first 256 bytes
 * behind boot2. */
#include <stddef.h>
#include <stdint.h>

#include "board_config.h"

#define MARKER_START 0x7188ebf2u
#define MARKER_END 0xe71aa390u
#define TYPE_ID_AND_STRING 6u
#define TAG_RASPBERRY_PI 0x5052u /* "RP" */
#define ID_PROGRAM_NAME 0x02031c86u
#define ID_PROGRAM_VERSION 0x11a9bc3au
#define ID_PROGRAM_FEATURE 0xa1f4b453u
#define ID_BOARD 0xb63cffbbu
#define ID_BOOT2_NAME 0x7f8882e1u

struct entry {
    uint16_t type;
    uint16_t tag;
    uint32_t id;
    const char *value;
};

static const struct entry entries[] = {
    { TYPE_ID_AND_STRING, TAG_RASPBERRY_PI, ID_PROGRAM_NAME, "tinyseal bootloader" },
    { TYPE_ID_AND_STRING, TAG_RASPBERRY_PI, ID_PROGRAM_VERSION, FIRMWARE_VERSION },
    { TYPE_ID_AND_STRING, TAG_RASPBERRY_PI, ID_PROGRAM_FEATURE, "boots signed images" },
    { TYPE_ID_AND_STRING, TAG_RASPBERRY_PI, ID_BOARD, BOARD_NAME },
    { TYPE_ID_AND_STRING, TAG_RASPBERRY_PI, ID_BOOT2_NAME, "tinyseal 03h" },
};

static const struct entry *const listed[] = {
    &entries[0], &entries[1], &entries[2], &entries[3], &entries[4],
};
_Static_assert(sizeof listed / sizeof listed[0] == sizeof entries / sizeof entries[0],
               "every entry is listed");

static const uint32_t no_mappings = 0; /* addresses in the file are those on the chip */

struct header {
    uint32_t start;
    const struct entry *const *first;
    const struct entry *const *end;
    const uint32_t *mappings;
    uint32_t stop;
};

__attribute__((section(".binary_info"), used)) static const struct header header = {
    .start = MARKER_START,
    .first = listed,
    .end = listed + sizeof listed / sizeof listed[0],
    .mappings = &no_mappings,
    .stop = MARKER_END,
};
