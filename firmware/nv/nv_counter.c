/* A counter in flash that only goes up. SPDX-License-Identifier: Apache-2.0 */
#include "nv_counter.h"

#include <string.h>

#include "nv_crc.h"

#define MAGIC 0x544e4354u /* "TCNT", little endian */
#define HEADER_BYTES 16u  /* magic, sequence, base, CRC-32 of these */
#define WORD_BYTES 4u
#define SCAN_BYTES 128u /* at least NV_AREA_MAX_PROGRAM_BYTES */
/* Not 0xffff: a unit cut within the first two bytes of its word, ff ff, reads erased at every
 * look and may not be programmed again. */
#define MAX_DELTA 0xfffeu
#define TORN_LOOKS 16

/* What a scan of one sector found. */
struct sector {
    uint32_t sequence;
    uint32_t base;
    uint32_t delta;  /* of the last valid word */
    uint32_t used;   /* words up to and with the last that does not read erased */
    int has_header;
    int has_word;
};

static uint32_t load_le(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void store_le(uint8_t *p, uint32_t word)
{
    for (unsigned i = 0; i < 4; i++) {
        p[i] = (uint8_t)(word >> (8 * i));
    }
}

static uint32_t round_up(uint32_t bytes, uint32_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

static uint32_t header_bytes(const struct nv_counter *c)
{
    return round_up(HEADER_BYTES, c->area.flash->program_bytes);
}

static uint32_t word_bytes(const struct nv_counter *c)
{
    return round_up(WORD_BYTES, c->area.flash->program_bytes);
}

static uint32_t words_a_sector(const struct nv_counter *c)
{
    return (c->area.flash->erase_bytes - header_bytes(c)) / word_bytes(c);
}

static uint32_t sectors(const struct nv_counter *c)
{
    return c->area.bytes / c->area.flash->erase_bytes;
}

static uint32_t sector_offset(const struct nv_counter *c, uint32_t sector)
{
    return sector * c->area.flash->erase_bytes;
}

static uint32_t word_offset(const struct nv_counter *c, uint32_t sector, uint32_t word)
{
    return sector_offset(c, sector) + header_bytes(c) + word * word_bytes(c);
}

static int check_geometry(const struct nv_counter *c)
{
    const int err = nv_area_check(&c->area);

    if (err) {
        return err;
    }
    /* Four words: a mount takes two, and an open sector must have room to go on. */
    if (sectors(c) < 2 || c->endurance_cycles == 0
        || c->area.flash->erase_bytes < header_bytes(c) + 4 * word_bytes(c)) {
        return NV_COUNTER_EGEOMETRY;
    }
    return 0;
}

static int scan_header(const struct nv_counter *c, uint32_t sector, struct sector *s)
{
    uint8_t bytes[HEADER_BYTES];
    const int err = nv_area_read(&c->area, sector_offset(c, sector), bytes, sizeof bytes);

    if (err) {
        return err;
    }
    s->has_header = load_le(bytes) == MAGIC && load_le(bytes + 12) == nv_crc32(0, bytes, 12);
    s->sequence = load_le(bytes + 4);
    s->base = load_le(bytes + 8);
    return 0;
}

static void scan_word(struct sector *s, uint32_t word, uint32_t pair)
{
    const uint32_t delta = pair & 0xffffu;

    if (pair == 0xffffffffu) {
        return;
    }
    s->used = word + 1;
    /* Programming only clears bits: a half-written pair has a bit set on both sides. */
    if ((pair >> 16) == (~delta & 0xffffu) && delta <= UINT32_MAX - s->base) {
        s->delta = delta; /* the last, not the highest: a torn word may come and go */
        s->has_word = 1;
    }
}

/* Several words a read: an erase unit may have 65,536. */
static int scan_words(const struct nv_counter *c, uint32_t sector, struct sector *s)
{
    const uint32_t each = word_bytes(c), words = words_a_sector(c);
    uint8_t bytes[SCAN_BYTES];

    for (uint32_t word = 0; word < words;) {
        const uint32_t left = words - word;
        const uint32_t count = left < SCAN_BYTES / each ? left : SCAN_BYTES / each;
        const int err = nv_area_read(&c->area, word_offset(c, sector, word), bytes, count * each);

        if (err) {
            return err;
        }
        for (uint32_t i = 0; i < count; i++) {
            scan_word(s, word + i, load_le(bytes + i * each));
        }
        word += count;
    }
    return 0;
}

/* Adopts the newest sector that holds a word. A header alone says nothing: it may be torn, and
 * the sector before it is whole until this one counts. */
static int find(struct nv_counter *c)
{
    int found = 0;

    for (uint32_t sector = 0; sector < sectors(c); sector++) {
        struct sector s = { 0 };
        int err = scan_header(c, sector, &s);

        if (!err && s.has_header) {
            err = scan_words(c, sector, &s);
        }
        if (err) {
            return err;
        }
        if (s.has_word && (!found || s.sequence > c->sequence)) {
            found = 1;
            c->sector = sector;
            c->sequence = s.sequence;
            c->base = s.base;
            c->value = s.base + s.delta;
            c->next = s.used;
        }
    }
    return found ? 0 : NV_COUNTER_EBLANK;
}

static int write_word(struct nv_counter *c, uint32_t value)
{
    uint8_t unit[NV_AREA_MAX_PROGRAM_BYTES];
    const uint32_t delta = value - c->base;

    memset(unit, 0xff, sizeof unit);
    store_le(unit, delta | (~delta & 0xffffu) << 16);
    /* Counted as used whatever comes of it: a failed unit is never programmed again. */
    c->next++;
    return nv_area_program(&c->area, word_offset(c, c->sector, c->next - 1), unit,
                           word_bytes(c));
}

static int is_worn(const struct nv_counter *c)
{
    return c->sequence / sectors(c) >= c->endurance_cycles;
}

/* Opens `sector` at `value`. The state changes only when its first word is in flash. */
static int open_sector(struct nv_counter *c, uint32_t sector, uint32_t value)
{
    uint8_t header[NV_AREA_MAX_PROGRAM_BYTES];
    struct nv_counter opened = *c;
    int err = nv_area_erase(&c->area, sector_offset(c, sector));

    if (err) {
        return err;
    }
    opened.sector = sector;
    opened.sequence = c->sequence + 1;
    opened.base = value;
    opened.next = 0;
    memset(header, 0xff, sizeof header);
    store_le(header, MAGIC);
    store_le(header + 4, opened.sequence);
    store_le(header + 8, opened.base);
    store_le(header + 12, nv_crc32(0, header, 12));
    err = nv_area_program(&c->area, sector_offset(c, sector), header, header_bytes(c));
    if (err) {
        return err;
    }
    err = write_word(&opened, value);
    if (err) {
        return err;
    }
    opened.value = value;
    *c = opened;
    return 0;
}

static int commit(struct nv_counter *c, uint32_t value)
{
    /* A unit that does not take its word is passed over; the next one gets its turn. */
    while (c->next < words_a_sector(c) && value - c->base <= MAX_DELTA) {
        const int err = write_word(c, value);

        if (err == 0) {
            c->value = value;
            return 0;
        }
        if (err != FLASH_EVERIFY) {
            return err;
        }
    }
    if (is_worn(c)) {
        return NV_COUNTER_EEXHAUSTED;
    }
    return open_sector(c, (c->sector + 1) % sectors(c), value);
}

/* The next sector of the ring may have been opened when the power was cut: its first word, which
 * did not read valid, may do so another time. It is erased, so that it never will. */
static int drop_unfinished(const struct nv_counter *c)
{
    const uint32_t next = (c->sector + 1) % sectors(c);
    struct sector s = { 0 };
    const int err = scan_header(c, next, &s);

    if (err || !s.has_header || s.sequence < c->sequence) {
        return err;
    }
    return nv_area_erase(&c->area, sector_offset(c, next));
}

/* The unit behind the last may be torn and read erased: it is passed over unseen. Where one cut
 * followed another the next may be torn, too, so that is looked at until chance is ruled out. */
static int skip_torn(struct nv_counter *c)
{
    int looks = 0;

    c->next++;
    while (c->next < words_a_sector(c) && looks < TORN_LOOKS) {
        const int erased = nv_area_is_erased(&c->area, word_offset(c, c->sector, c->next),
                                             word_bytes(c));

        if (erased < 0) {
            return erased;
        }
        looks = erased ? looks + 1 : 0;
        c->next += erased ? 0 : 1;
    }
    return 0;
}

int nv_counter_mount(struct nv_counter *c)
{
    int err = check_geometry(c);

    if (err) {
        return err;
    }
    err = find(c);
    if (err) {
        return err;
    }
    err = drop_unfinished(c);
    if (err) {
        return err;
    }
    err = skip_torn(c);
    if (err) {
        return err;
    }
    return commit(c, c->value);
}

int nv_counter_format(struct nv_counter *c, uint32_t value)
{
    int err = check_geometry(c);

    if (err) {
        return err;
    }
    err = find(c);
    if (err != NV_COUNTER_EBLANK) {
        return err ? err : FLASH_EVERIFY;
    }
    c->sequence = 0;
    return open_sector(c, 0, value);
}

uint32_t nv_counter_value(const struct nv_counter *c)
{
    return c->value;
}

int nv_counter_advance(struct nv_counter *c, uint32_t by)
{
    if (by == 0 || by > UINT32_MAX - c->value) {
        return NV_COUNTER_EEXHAUSTED;
    }
    return commit(c, c->value + by);
}

uint32_t nv_counter_headroom(const struct nv_counter *c)
{
    const uint32_t words = words_a_sector(c);
    const uint64_t openings = (uint64_t)c->endurance_cycles * sectors(c);
    const uint64_t unopened = openings > c->sequence ? openings - c->sequence : 0;
    const uint64_t left = unopened * words + (c->next < words ? words - c->next : 0);
    const uint32_t values = UINT32_MAX - c->value;

    return left < values ? (uint32_t)left : values;
}
