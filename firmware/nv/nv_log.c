/* A ring of records in flash. SPDX-License-Identifier: Apache-2.0 */
#include "nv_log.h"

#include <string.h>

#include "nv_crc.h"

#define MAGIC 0x474c4354u     /* "TCLG", little endian */
#define SECTOR_HEAD_BYTES 16u /* magic, sequence, number of the first record, CRC-32 of these */
#define RECORD_HEAD_BYTES 8u  /* length, its complement (16 bits each), CRC-32 of the bytes */
#define PIECE 64u             /* a multiple of every program unit */

static uint32_t load_le(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void store_le(uint8_t *p, uint32_t word)
{
    for (uint32_t i = 0; i < 4; i++) {
        p[i] = (uint8_t)(word >> (8 * i));
    }
}

static uint32_t unit_of(const struct nv_log *log)
{
    return log->area.flash->program_bytes;
}

static uint32_t sector_bytes(const struct nv_log *log)
{
    return log->area.flash->erase_bytes;
}

static uint32_t sectors(const struct nv_log *log)
{
    return log->area.bytes / sector_bytes(log);
}

static uint32_t whole(const struct nv_log *log, uint32_t bytes)
{
    const uint32_t unit = unit_of(log);

    return (bytes + unit - 1) / unit * unit;
}

static uint32_t start_of(const struct nv_log *log, uint32_t sequence)
{
    return sequence % sectors(log) * sector_bytes(log);
}

/* 1 if the sector at `start` is open with a sound header. */
static int read_head(const struct nv_log *log, uint32_t start, uint32_t *sequence,
                     uint32_t *first)
{
    uint8_t head[SECTOR_HEAD_BYTES];
    const int err = nv_area_read(&log->area, start, head, sizeof head);

    if (err) {
        return err;
    }
    *sequence = load_le(head + 4);
    *first = load_le(head + 8);
    return load_le(head) == MAGIC && load_le(head + 12) == nv_crc32(0, head, 12)
           && start_of(log, *sequence) == start && *sequence > 0;
}

static int crc_of(const struct nv_log *log, uint32_t offset, uint32_t len, uint32_t *crc)
{
    uint8_t piece[PIECE];

    *crc = 0;
    for (uint32_t at = 0; at < len; at += PIECE) {
        const uint32_t n = len - at < PIECE ? len - at : PIECE;
        const int err = nv_area_read(&log->area, offset + at, piece, n);

        if (err) {
            return err;
        }
        *crc = nv_crc32(*crc, piece, n);
    }
    return 0;
}

enum found {
    NOTHING = 0, /* no more in this sector */
    RECORD = 1,
    SPOILT = 2, /* what a cut left, or nothing: go on a unit further */
};

/* What lies at *at of the sector at `start`; moves *at behind it. Returns an enum found or an error. */
static int look(const struct nv_log *log, uint32_t start, uint32_t *at,
                struct nv_log_record *record)
{
    uint8_t head[RECORD_HEAD_BYTES];
    uint32_t crc;

    if (*at > sector_bytes(log) - whole(log, RECORD_HEAD_BYTES)) {
        return NOTHING;
    }
    int err = nv_area_read(&log->area, start + *at, head, sizeof head);

    if (err) {
        return err;
    }
    const uint32_t len = (uint32_t)head[0] | (uint32_t)head[1] << 8;
    const uint32_t inverse = (uint32_t)head[2] | (uint32_t)head[3] << 8;
    const uint32_t behind = sector_bytes(log) - *at - RECORD_HEAD_BYTES;

    /* A torn cell may be read otherwise the next time: a length without its CRC skips nothing. */
    if ((len ^ inverse) != 0xffffu || len > behind) {
        *at += unit_of(log);
        return SPOILT;
    }
    record->offset = start + *at + RECORD_HEAD_BYTES;
    record->len = len;
    err = crc_of(log, record->offset, len, &crc);
    if (err) {
        return err;
    }
    if (crc != load_le(head + 4)) {
        *at += unit_of(log);
        return SPOILT;
    }
    *at += whole(log, RECORD_HEAD_BYTES + len);
    return RECORD;
}

/* Walks a sector up to the record `after`, or to its end. *next is the number behind the last. */
static int walk(const struct nv_log *log, uint32_t start, uint32_t first, uint32_t after,
                uint32_t *next, struct nv_log_record *record)
{
    uint32_t at = whole(log, SECTOR_HEAD_BYTES);

    for (*next = first;;) {
        const int found = look(log, start, &at, record);

        if (found == NOTHING || found < 0) {
            return found;
        }
        if (found == RECORD) {
            record->number = (*next)++;
            if (record->number > after) {
                return RECORD;
            }
        }
    }
}

/* Where the written part of a sector ends: behind all that does not read erased, and a unit more,
 * which a cut may have touched although it reads erased. */
static int find_end(const struct nv_log *log, uint32_t start, uint32_t *end)
{
    const uint32_t unit = unit_of(log);
    uint8_t bytes[NV_AREA_MAX_PROGRAM_BYTES];

    for (*end = sector_bytes(log); *end > whole(log, SECTOR_HEAD_BYTES); *end -= unit) {
        const int err = nv_area_read(&log->area, start + *end - unit, bytes, unit);

        if (err) {
            return err;
        }
        for (uint32_t i = 0; i < unit; i++) {
            if (bytes[i] != 0xff) {
                *end += *end < sector_bytes(log) ? unit : 0;
                return 0;
            }
        }
    }
    *end += unit;
    return 0;
}

int nv_log_mount(struct nv_log *log)
{
    int err = nv_area_check(&log->area);

    log->sequence = 0;
    log->next = 1;
    log->end = 0;
    if (err) {
        return err;
    }
    if (sectors(log) < 2 || NV_AREA_MAX_PROGRAM_BYTES < unit_of(log)) {
        return NV_LOG_EGEOMETRY;
    }
    for (uint32_t i = 0; i < sectors(log); i++) {
        uint32_t sequence, first;
        const int is_open = read_head(log, i * sector_bytes(log), &sequence, &first);

        if (is_open < 0) {
            return is_open;
        }
        if (is_open && sequence > log->sequence) {
            log->sequence = sequence;
            log->next = first;
        }
    }
    if (log->sequence > 0) {
        struct nv_log_record unused;
        const uint32_t start = start_of(log, log->sequence);

        err = walk(log, start, log->next, UINT32_MAX, &log->next, &unused);
        err = err ? err : find_end(log, start, &log->end);
    }
    return err;
}

uint32_t nv_log_max_bytes(const struct nv_log *log)
{
    const uint32_t most = sector_bytes(log) - whole(log, SECTOR_HEAD_BYTES) - RECORD_HEAD_BYTES;

    return most < 0xfffe ? most : 0xfffe;
}

static int open_sector(struct nv_log *log)
{
    uint8_t head[SECTOR_HEAD_BYTES + NV_AREA_MAX_PROGRAM_BYTES];
    const uint32_t start = start_of(log, log->sequence + 1);
    int err = nv_area_erase(&log->area, start);

    memset(head, 0xff, sizeof head);
    store_le(head, MAGIC);
    store_le(head + 4, log->sequence + 1);
    store_le(head + 8, log->next);
    store_le(head + 12, nv_crc32(0, head, 12));
    err = err ? err : nv_area_program(&log->area, start, head, whole(log, SECTOR_HEAD_BYTES));
    if (!err) {
        log->sequence++;
        log->end = whole(log, SECTOR_HEAD_BYTES);
    }
    return err;
}

/* Programs head and record in pieces, each at most once. */
static int program(const struct nv_log *log, uint32_t at, const uint8_t head[RECORD_HEAD_BYTES],
                   const uint8_t *record, uint32_t len)
{
    const uint32_t total = RECORD_HEAD_BYTES + len;
    uint8_t piece[PIECE];

    for (uint32_t done = 0; done < total; done += PIECE) {
        const uint32_t n = total - done < PIECE ? total - done : PIECE;

        memset(piece, 0xff, sizeof piece);
        for (uint32_t i = 0; i < n; i++) {
            const uint32_t from = done + i;

            piece[i] = from < RECORD_HEAD_BYTES ? head[from] : record[from - RECORD_HEAD_BYTES];
        }
        const int err = nv_area_program(&log->area, at + done, piece, whole(log, n));

        if (err) {
            return err;
        }
    }
    return 0;
}

int nv_log_append(struct nv_log *log, const void *record, uint32_t len)
{
    const uint32_t bytes = whole(log, RECORD_HEAD_BYTES + len);
    uint8_t head[RECORD_HEAD_BYTES];
    int err = 0;

    if (len > nv_log_max_bytes(log)) {
        return NV_LOG_ELONG;
    }
    if (log->sequence == 0 || log->end > sector_bytes(log)
        || bytes > sector_bytes(log) - log->end) {
        err = open_sector(log);
    }
    store_le(head, len | (len ^ 0xffffu) << 16);
    store_le(head + 4, nv_crc32(0, record, len));
    if (!err) {
        const uint32_t at = start_of(log, log->sequence) + log->end;

        log->end += bytes; /* whatever becomes of it, these units are not fresh any more */
        err = program(log, at, head, record, len);
    }
    log->next += err == 0;
    return err;
}

int nv_log_find(const struct nv_log *log, uint32_t after, struct nv_log_record *record)
{
    const uint32_t count = log->sequence == 0 ? 0 : sectors(log);

    for (uint32_t age = count; age-- > 0;) {
        uint32_t sequence, first, next;

        if (age >= log->sequence) {
            continue; /* there were not that many yet */
        }
        const uint32_t start = start_of(log, log->sequence - age);
        int found = read_head(log, start, &sequence, &first);

        if (found > 0 && sequence == log->sequence - age) {
            found = walk(log, start, first, after, &next, record);
        } else if (found > 0) {
            found = 0;
        }
        if (found != 0) {
            return found;
        }
    }
    return 0;
}
