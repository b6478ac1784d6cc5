/* First images, for a flash that no programmer reaches. SPDX-License-Identifier: Apache-2.0 */
#include "staging.h"

#include <string.h>

#include "board_config.h"
#include "hal.h"
#include "nv_area.h"
#include "nv_crc.h"

#define MAGIC 0x47545354u  /* "TSTG", little endian */
#define HEADER_BYTES 12u   /* magic, bytes behind the header, their CRC-32 */
#define RECORD_BYTES 8u    /* where in the flash, how many bytes; these follow */
#define MARK_BYTES 8u      /* the CRC-32 and its complement */
#define MARK_UNITS_BYTES \
    (BOARD_FLASH_PROGRAM_BYTES > MARK_BYTES ? BOARD_FLASH_PROGRAM_BYTES : MARK_BYTES)

static uint32_t load_le(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void fill_mark(uint8_t *bytes, const uint8_t *crc)
{
    memset(bytes, 0xff, NV_AREA_MAX_PROGRAM_BYTES);
    for (unsigned i = 0; i < 4; i++) {
        bytes[i] = crc[i];
        bytes[4 + i] = (uint8_t)~crc[i];
    }
}

static int has_mark(const struct nv_area *whole, uint32_t mark, const uint8_t *wanted)
{
    uint8_t found[MARK_BYTES];

    return !nv_area_read(whole, mark, found, sizeof found)
           && memcmp(found, wanted, sizeof found) == 0;
}

static int write_record(const struct nv_area *whole, uint32_t offset, const uint8_t *bytes,
                        uint32_t len)
{
    const uint32_t unit = hal.flash->erase_bytes;

    for (uint32_t at = 0; at < len; at += unit) {
        const uint32_t part = len - at < unit ? len - at : unit;
        int err;

        (void)hal.clock->ticks(); /* feeds the watchdog */
        err = nv_area_erase(whole, offset + at);
        if (!err) {
            err = nv_area_program(whole, offset + at, bytes + at, part);
        }
        if (err) {
            return err;
        }
    }
    return 0;
}

static int write_records(const struct nv_area *whole, const uint8_t *bytes, uint32_t len)
{
    while (len > 0) {
        const uint32_t record = len < RECORD_BYTES ? 0 : load_le(bytes + 4);

        if (len < RECORD_BYTES || record > len - RECORD_BYTES) {
            return STAGING_EDAMAGED;
        }
        const int err = write_record(whole, load_le(bytes), bytes + RECORD_BYTES, record);

        if (err) {
            return err;
        }
        bytes += RECORD_BYTES + record;
        len -= RECORD_BYTES + record;
    }
    return 0;
}

int staging_install(const uint8_t *staged, uint32_t room, uint32_t mark)
{
    const struct nv_area whole = { hal.flash, 0, hal.flash->bytes };
    const uint32_t len = load_le(staged + 4);
    uint8_t done[NV_AREA_MAX_PROGRAM_BYTES];
    int err;

    fill_mark(done, staged + 8);
    if (load_le(staged) != MAGIC || has_mark(&whole, mark, done)) {
        return 0;
    }
    if (len > room - HEADER_BYTES
        || nv_crc32(0, staged + HEADER_BYTES, len) != load_le(staged + 8)) {
        return STAGING_EDAMAGED;
    }
    err = nv_area_erase(&whole, mark); /* first: until it is back, a reset begins again */
    if (!err) {
        err = write_records(&whole, staged + HEADER_BYTES, len);
    }
    return err ? err : nv_area_program(&whole, mark, done, MARK_UNITS_BYTES);
}
