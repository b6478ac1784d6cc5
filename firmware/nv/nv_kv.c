/* A few named values in flash, changed rarely and never half. SPDX-License-Identifier: Apache-2.0 */
#include "nv_kv.h"

#include <string.h>

#include "nv_crc.h"

#define MAGIC 0x54564b54u  /* "TKVT", little endian */
#define HEADER_BYTES 20u   /* magic, sequence, bytes, CRC-32 of the records, CRC-32 of these */
#define HEADER_COPIES 8u   /* two at a change, the others for what cuts leave open */
#define RECORD_BYTES 4u    /* key, length; then the value, filled up to a program unit */
#define NO_KEY 0xffffu
#define TORN_LOOKS 16

struct header {
    uint32_t sequence;
    uint32_t bytes;
    uint32_t crc;
};

static uint32_t load_le(const uint8_t *p, unsigned bytes)
{
    uint32_t word = 0;

    while (bytes-- > 0) {
        word = word << 8 | p[bytes];
    }
    return word;
}

static void store_le(uint8_t *p, uint32_t word, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        p[i] = (uint8_t)(word >> (8 * i));
    }
}

static uint32_t round_up(uint32_t bytes, uint32_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

static uint32_t unit_bytes(const struct nv_kv *kv)
{
    return kv->area.flash->program_bytes;
}

static uint32_t header_step(const struct nv_kv *kv)
{
    return round_up(HEADER_BYTES, unit_bytes(kv));
}

static uint32_t bank_bytes(const struct nv_kv *kv)
{
    return kv->area.bytes / 2;
}

static uint32_t header_offset(const struct nv_kv *kv, uint32_t bank, uint32_t copy)
{
    return bank * bank_bytes(kv) + copy * header_step(kv);
}

static uint32_t records_offset(const struct nv_kv *kv, uint32_t bank)
{
    return header_offset(kv, bank, HEADER_COPIES);
}

static uint32_t records_room(const struct nv_kv *kv)
{
    return bank_bytes(kv) - HEADER_COPIES * header_step(kv);
}

static uint32_t record_step(const struct nv_kv *kv, uint32_t len)
{
    return round_up(RECORD_BYTES + len, unit_bytes(kv));
}

static int crc_of_records(const struct nv_kv *kv, uint32_t bank, uint32_t bytes, uint32_t *crc)
{
    uint8_t chunk[32];

    *crc = 0;
    for (uint32_t at = 0; at < bytes;) {
        const uint32_t part = bytes - at < sizeof chunk ? bytes - at : (uint32_t)sizeof chunk;
        const int err = nv_area_read(&kv->area, records_offset(kv, bank) + at, chunk, part);

        if (err) {
            return err;
        }
        *crc = nv_crc32(*crc, chunk, part);
        at += part;
    }
    return 0;
}

/* Reads all copies of a bank's header: how many are valid, and the first copy behind all that do
 * not read erased. */
static int scan_headers(const struct nv_kv *kv, uint32_t bank, struct header *header,
                        uint32_t *valid, uint32_t *used)
{
    *valid = 0;
    *used = 0;
    for (uint32_t copy = 0; copy < HEADER_COPIES; copy++) {
        const uint32_t offset = header_offset(kv, bank, copy);
        uint8_t bytes[HEADER_BYTES];
        const int err = nv_area_read(&kv->area, offset, bytes, sizeof bytes);
        const int erased = nv_area_is_erased(&kv->area, offset, header_step(kv));

        if (err || erased < 0) {
            return err ? err : erased;
        }
        *used = erased ? *used : copy + 1;
        if (load_le(bytes, 4) == MAGIC && load_le(bytes + 16, 4) == nv_crc32(0, bytes, 16)
            && load_le(bytes + 8, 4) <= records_room(kv)) {
            header->sequence = load_le(bytes + 4, 4);
            header->bytes = load_le(bytes + 8, 4);
            header->crc = load_le(bytes + 12, 4);
            *valid += 1;
        }
    }
    return 0;
}

static int write_header(const struct nv_kv *kv, uint32_t bank, uint32_t copy,
                        const struct header *header)
{
    uint8_t bytes[HEADER_BYTES + NV_AREA_MAX_PROGRAM_BYTES];

    memset(bytes, 0xff, sizeof bytes);
    store_le(bytes, MAGIC, 4);
    store_le(bytes + 4, header->sequence, 4);
    store_le(bytes + 8, header->bytes, 4);
    store_le(bytes + 12, header->crc, 4);
    store_le(bytes + 16, nv_crc32(0, bytes, 16), 4);
    return nv_area_program(&kv->area, header_offset(kv, bank, copy), bytes, header_step(kv));
}

static int erase_bank(const struct nv_kv *kv, uint32_t bank)
{
    const uint32_t step = kv->area.flash->erase_bytes;

    for (uint32_t at = 0; at < bank_bytes(kv); at += step) {
        const int err = nv_area_erase(&kv->area, bank * bank_bytes(kv) + at);

        if (err) {
            return err;
        }
    }
    return 0;
}

/* A header in the other bank that does not read valid may do so another time, and give values
 * that nobody saw at this mount. It is erased, so that it never will. */
static int drop_unfinished(const struct nv_kv *kv)
{
    struct header header;
    uint32_t valid, used;
    const int err = scan_headers(kv, 1 - kv->bank, &header, &valid, &used);

    if (err || used == 0 || (valid > 0 && header.sequence < kv->sequence)) {
        return err;
    }
    return erase_bank(kv, 1 - kv->bank);
}

/* A lone valid header may be torn and read otherwise next time. One more, past the copy that a
 * cut may have touched, makes it last. */
static int settle(const struct nv_kv *kv, const struct header *header, uint32_t used)
{
    int looks = 0;
    uint32_t copy = used + 1;

    while (copy < HEADER_COPIES && looks < TORN_LOOKS) {
        const int erased = nv_area_is_erased(&kv->area, header_offset(kv, kv->bank, copy),
                                             header_step(kv));

        if (erased < 0) {
            return erased;
        }
        looks = erased ? looks + 1 : 0;
        copy += erased ? 0 : 1;
    }
    /* Out of copies after cut upon cut: readable all the same. */
    return copy < HEADER_COPIES ? write_header(kv, kv->bank, copy, header) : 0;
}

int nv_kv_mount(struct nv_kv *kv)
{
    struct header newest = { 0 };
    uint32_t newest_valid = 0, newest_used = 0;
    int err = nv_area_check(&kv->area);

    if (err) {
        return err;
    }
    if (kv->area.bytes == 0 || kv->area.bytes % (2 * kv->area.flash->erase_bytes) != 0
        || bank_bytes(kv) <= HEADER_COPIES * header_step(kv)) {
        return NV_KV_EGEOMETRY;
    }
    kv->sequence = 0;
    kv->bank = 1; /* so that the first change goes into bank 0 */
    kv->bytes = 0;
    for (uint32_t bank = 0; bank < 2; bank++) {
        struct header header;
        uint32_t valid, used, crc;

        err = scan_headers(kv, bank, &header, &valid, &used);
        if (err) {
            return err;
        }
        if (valid == 0 || header.sequence <= kv->sequence) {
            continue;
        }
        err = crc_of_records(kv, bank, header.bytes, &crc);
        if (err) {
            return err;
        }
        if (crc == header.crc) {
            kv->sequence = header.sequence;
            kv->bank = bank;
            kv->bytes = header.bytes;
            newest = header;
            newest_valid = valid;
            newest_used = used;
        }
    }
    err = drop_unfinished(kv);
    if (err) {
        return err;
    }
    return newest_valid == 1 ? settle(kv, &newest, newest_used) : 0;
}

/* The record at `at`, and where the next one is; *key is NO_KEY at the end. */
static int next_record(const struct nv_kv *kv, uint32_t at, uint32_t *key, uint32_t *len)
{
    uint8_t bytes[RECORD_BYTES];

    *key = NO_KEY;
    if (at >= kv->bytes || kv->bytes - at < RECORD_BYTES) {
        return 0;
    }
    const int err = nv_area_read(&kv->area, records_offset(kv, kv->bank) + at, bytes,
                                 sizeof bytes);

    if (err) {
        return err;
    }
    *len = load_le(bytes + 2, 2);
    if (*len <= kv->bytes - at - RECORD_BYTES) {
        *key = load_le(bytes, 2);
    }
    return 0;
}

int nv_kv_get(const struct nv_kv *kv, uint16_t key, void *value, uint32_t cap, uint32_t *len)
{
    uint32_t found, bytes;

    *len = NV_KV_ABSENT;
    for (uint32_t at = 0;; at += record_step(kv, bytes)) {
        const int err = next_record(kv, at, &found, &bytes);

        if (err || found == NO_KEY) {
            return err;
        }
        if (found == key) {
            if (bytes > cap) {
                return NV_KV_ERANGE;
            }
            *len = bytes;
            return nv_area_read(&kv->area, records_offset(kv, kv->bank) + at + RECORD_BYTES,
                                value, bytes);
        }
    }
}

/* Programs a record from pieces that need not be whole units. */
struct writer {
    const struct nv_kv *kv;
    uint32_t offset; /* in the area, of the next unit */
    uint32_t filled;
    uint8_t unit[NV_AREA_MAX_PROGRAM_BYTES];
};

static int flush(struct writer *w)
{
    const uint32_t unit = unit_bytes(w->kv);

    if (w->filled == 0) {
        return 0;
    }
    memset(w->unit + w->filled, 0xff, unit - w->filled);
    const int err = nv_area_program(&w->kv->area, w->offset, w->unit, unit);

    w->offset += unit;
    w->filled = 0;
    return err;
}

static int put(struct writer *w, const uint8_t *bytes, uint32_t len)
{
    int err = 0;

    for (uint32_t i = 0; i < len && !err; i++) {
        w->unit[w->filled++] = bytes[i];
        if (w->filled == unit_bytes(w->kv)) {
            err = flush(w);
        }
    }
    return err;
}

static int copy_record(struct writer *w, uint32_t at, uint32_t step)
{
    uint8_t chunk[32];
    const struct nv_kv *kv = w->kv;
    int err = 0;

    for (uint32_t done = 0; done < step && !err;) {
        const uint32_t part = step - done < sizeof chunk ? step - done : (uint32_t)sizeof chunk;

        err = nv_area_read(&kv->area, records_offset(kv, kv->bank) + at + done, chunk, part);
        err = err ? err : put(w, chunk, part);
        done += part;
    }
    return err;
}

static int put_record(struct writer *w, uint16_t key, const void *value, uint32_t len)
{
    uint8_t head[RECORD_BYTES];

    store_le(head, key, 2);
    store_le(head + 2, len, 2);
    int err = put(w, head, sizeof head);

    err = err ? err : put(w, value, len);
    return err ? err : flush(w);
}

/* All records but that of `key`, into the other bank. */
static int copy_others(struct writer *w, uint16_t key)
{
    const struct nv_kv *kv = w->kv;
    uint32_t found, len;

    for (uint32_t at = 0;; at += record_step(kv, len)) {
        int err = next_record(kv, at, &found, &len);

        if (err || found == NO_KEY) {
            return err;
        }
        if (found != key) {
            err = copy_record(w, at, record_step(kv, len));
            if (err) {
                return err;
            }
        }
    }
}

/* What the records will take once that of `key` is gone. */
static int bytes_of_others(const struct nv_kv *kv, uint16_t key, uint32_t *bytes)
{
    uint32_t found, len;

    *bytes = 0;
    for (uint32_t at = 0;; at += record_step(kv, len)) {
        const int err = next_record(kv, at, &found, &len);

        if (err || found == NO_KEY) {
            return err;
        }
        *bytes += found == key ? 0 : record_step(kv, len);
    }
}

/* Makes the other bank hold `bytes` of records, already written there, and be the one in use. */
static int switch_bank(struct nv_kv *kv, uint32_t bank, uint32_t bytes)
{
    struct header header = { .sequence = kv->sequence + 1, .bytes = bytes };
    int err = crc_of_records(kv, bank, bytes, &header.crc);

    err = err ? err : write_header(kv, bank, 0, &header);
    if (err) {
        return err;
    }
    kv->sequence = header.sequence;
    kv->bank = bank;
    kv->bytes = bytes;
    return write_header(kv, bank, 1, &header);
}

static int change(struct nv_kv *kv, uint16_t key, const void *value, uint32_t len, int keep)
{
    const uint32_t bank = 1 - kv->bank;
    struct writer w = { .kv = kv, .offset = records_offset(kv, bank) };
    uint32_t bytes;
    int err = bytes_of_others(kv, key, &bytes);

    if (err) {
        return err;
    }
    const uint32_t step = keep ? record_step(kv, len) : 0;

    if (bytes > records_room(kv) || step > records_room(kv) - bytes) {
        return NV_KV_EFULL;
    }
    err = erase_bank(kv, bank);
    err = err ? err : copy_others(&w, key);
    if (!err && keep) {
        err = put_record(&w, key, value, len);
    }
    return err ? err : switch_bank(kv, bank, bytes + step);
}

int nv_kv_set(struct nv_kv *kv, uint16_t key, const void *value, uint32_t len)
{
    if (key == NO_KEY || len > NV_KV_MAX_VALUE_BYTES) {
        return NV_KV_ERANGE;
    }
    return change(kv, key, value, len, 1);
}

int nv_kv_remove(struct nv_kv *kv, uint16_t key)
{
    return change(kv, key, 0, 0, 0);
}
