/* Prepaid queries. SPDX-License-Identifier: Apache-2.0 */
#include "meter.h"

#include <string.h>

#include "hmac.h"
#include "monocypher.h"
#include "sha256.h"

/* The book, as it lies in storage before its tag. */
#define BOOK_FORM 0x01u
#define COUNT_AT 1u  /* accounts */
#define MODEL_AT 2u  /* which of them pays for the model in service, or NONE */
#define FAMILY_AT 3u /* and which when that is empty */
#define BEGAN_AT 4u  /* what the counter read when `spent` was last brought up to date */
#define ACCOUNTS_AT 8u

#define CREDITED_AT 32u /* in an account, behind its subject */
#define SPENT_AT 36u
#define SERIAL_AT 40u   /* the highest redeemed */
#define WINDOW_AT 44u   /* bit i: serial - 1 - i is redeemed, too */
#define ACCOUNT_BYTES 48u

#define TAG_BYTES 16u /* of SHA256_BYTES, for which a record in RAM has room */
#define BOOK_BYTES (ACCOUNTS_AT + METER_ACCOUNTS * ACCOUNT_BYTES)
#define NONE 0xffu
#define WINDOW 32u

/* A receipt: the book's first four bytes with another form, then these, then the accounts. */
#define RECEIPT_FORM 0x20u
#define DEVICE_AT 4u
#define SEQUENCE_AT 20u
#define COUNTER_AT 24u
#define ANCHOR_AT 28u
#define PREVIOUS_AT 32u
#define RECEIPT_ACCOUNTS_AT 64u
#define RECEIPT_BYTES (RECEIPT_ACCOUNTS_AT + METER_ACCOUNTS * ACCOUNT_BYTES)

static const char context[] = "tinyseal receipt";
#define CONTEXT_BYTES (sizeof context - 1)

_Static_assert(RECEIPT_BYTES + ED25519_SIGNATURE_BYTES == METER_RECEIPT_MAX_BYTES, "in meter.h");

static inline __attribute__((always_inline)) uint32_t load_le(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline __attribute__((always_inline)) void store_le(uint8_t *p, uint32_t word)
{
    p[0] = (uint8_t)word;
    p[1] = (uint8_t)(word >> 8);
    p[2] = (uint8_t)(word >> 16);
    p[3] = (uint8_t)(word >> 24);
}

/* A value that provisioning writes: exactly `bytes`, or METER_EIDENTITY. */
static int identity(const struct meter *meter, uint16_t key, uint8_t *value, uint32_t bytes)
{
    uint32_t len;
    const int err = nv_kv_get(&meter->storage, key, value, bytes, &len);

    return err ? err : (len == bytes ? 0 : METER_EIDENTITY);
}

/* The tag of a record, which only this device can make. */
static int tag_of(const struct meter *meter, const uint8_t *record, uint32_t len,
                  uint8_t tag[SHA256_BYTES])
{
    uint8_t seed[ED25519_SEED_BYTES];
    struct hmac hmac;
    const int err = identity(meter, NV_KEYS_DEVICE_KEY, seed, sizeof seed);

    if (!err) {
        hmac_init(&hmac, seed, sizeof seed);
        hmac_update(&hmac, record, len);
        hmac_final(&hmac, tag);
    }
    crypto_wipe(seed, sizeof seed);
    return err;
}

static uint32_t record_bytes(const uint8_t *record, uint32_t accounts_at)
{
    return accounts_at + record[COUNT_AT] * ACCOUNT_BYTES;
}

/* Reads a record and its tag. Returns its bytes without the tag; 0, and zeros, if there is none. */
static int load_record(const struct meter *meter, uint16_t key, uint8_t *record,
                       uint32_t accounts_at)
{
    const uint32_t most = accounts_at + METER_ACCOUNTS * ACCOUNT_BYTES;
    uint8_t tag[SHA256_BYTES];
    uint32_t len;

    memset(record, 0, most);
    int err = nv_kv_get(&meter->storage, key, record, most + TAG_BYTES, &len);

    if (err || len == NV_KV_ABSENT) {
        return err == NV_KV_ERANGE ? METER_ERECORDS : err;
    }
    /* What was read is no longer than METER_ACCOUNTS accounts, so neither is what passes. */
    if (len != record_bytes(record, accounts_at) + TAG_BYTES) {
        return METER_ERECORDS;
    }
    len -= TAG_BYTES;
    err = tag_of(meter, record, len, tag);
    if (err) {
        return err;
    }
    return crypto_verify16(tag, record + len) == 0 ? (int)len : METER_ERECORDS;
}

/* The record has room for a whole tag. */
static int store_record(struct meter *meter, uint16_t key, uint8_t *record, uint32_t accounts_at)
{
    const uint32_t len = record_bytes(record, accounts_at);
    const uint32_t openings = meter->storage.sequence / 2; /* the banks take turns */

    if (openings >= meter->queries.endurance_cycles) {
        return METER_EWORN;
    }
    int err = tag_of(meter, record, len, record + len);

    if (err) {
        return err;
    }
    err = nv_kv_set(&meter->storage, key, record, len + TAG_BYTES);
    if (err) {
        meter->status = err; /* which of the two is there only a mount tells */
    }
    return err;
}

static uint8_t *account(uint8_t *book, uint32_t index)
{
    return book + ACCOUNTS_AT + index * ACCOUNT_BYTES;
}

/* Charges what is due to the accounts in service. Returns what they cannot pay. */
static uint32_t pay(uint8_t *book, uint32_t due)
{
    for (uint32_t which = MODEL_AT; which <= FAMILY_AT; which++) {
        if (book[which] < book[COUNT_AT]) {
            uint8_t *const from = account(book, book[which]);
            const uint32_t spent = load_le(from + SPENT_AT);
            const uint32_t left = load_le(from + CREDITED_AT) - spent;
            const uint32_t part = due < left ? due : left;

            store_le(from + SPENT_AT, spent + part);
            due -= part;
        }
    }
    return due;
}

/* Loads the book and charges what the counter has gone since to the accounts in service then. */
static int load_book(const struct meter *meter, uint8_t *book)
{
    const uint32_t counter = nv_counter_value(&meter->queries);
    const int len = load_record(meter, NV_KEYS_METER_BOOK, book, ACCOUNTS_AT);

    if (len < 0) {
        return len;
    }
    if (book[0] != BOOK_FORM) {
        return METER_ERECORDS;
    }
    for (uint32_t i = 0; i < book[COUNT_AT]; i++) {
        if (load_le(account(book, i) + SPENT_AT) > load_le(account(book, i) + CREDITED_AT)) {
            return METER_ERECORDS;
        }
    }
    const uint32_t began = load_le(book + BEGAN_AT);

    if (counter < began || pay(book, counter - began) > 0) {
        return METER_EROLLBACK;
    }
    store_le(book + BEGAN_AT, counter);
    return 0;
}

static uint8_t find(uint8_t *book, const uint8_t *subject)
{
    for (uint32_t i = 0; i < book[COUNT_AT]; i++) {
        if (memcmp(account(book, i), subject, METER_SUBJECT_BYTES) == 0) {
            return (uint8_t)i;
        }
    }
    return NONE;
}

/* Puts the accounts in service into the book. Returns whether they are others than before. */
static int choose(const struct meter *meter, uint8_t *book)
{
    const uint8_t model = book[MODEL_AT], family = book[FAMILY_AT];

    book[MODEL_AT] = find(book, meter->model_id);
    book[FAMILY_AT] = find(book, meter->family);
    return book[MODEL_AT] != model || book[FAMILY_AT] != family;
}

/* Up to where the book, which this uses up, can pay for what the counter may still count. */
static void set_limit(struct meter *meter, uint8_t *book)
{
    meter->limit = UINT32_MAX - pay(book, UINT32_MAX - nv_counter_value(&meter->queries));
}

/* Burns what the counter has earned, and says where it earns the next bit. */
static int burn(struct meter *meter)
{
    const struct hal_otp *const otp = meter->otp;
    const uint32_t each = meter->queries_per_bit;

    meter->next_burn = UINT32_MAX;
    if (!otp) {
        return 0;
    }
    const uint32_t earned = nv_counter_value(&meter->queries) / each;
    int32_t burnt = otp->burnt();

    while (burnt >= 0 && (uint32_t)burnt < earned && (uint32_t)burnt < otp->bits) {
        const int err = otp->burn();

        burnt = err ? err : otp->burnt();
    }
    if (burnt < 0) {
        return (int)burnt;
    }
    if ((uint32_t)burnt > earned) {
        return METER_EROLLBACK;
    }
    /* earned * each is no more than the counter, so only the sum might not fit. */
    if ((uint32_t)burnt < otp->bits && earned < UINT32_MAX / each) {
        meter->next_burn = (earned + 1) * each;
    }
    return 0;
}

/* All of a mount but the counter's. */
static int open(struct meter *meter)
{
    uint8_t book[BOOK_BYTES + SHA256_BYTES], receipt[RECEIPT_BYTES + SHA256_BYTES];
    int err = nv_kv_mount(&meter->storage);

    err = err ? err : load_book(meter, book);
    err = err ? err : burn(meter);
    if (err) {
        return err;
    }
    /* A counter put back would be past its newest receipt again before somebody asks for one. */
    if (load_record(meter, NV_KEYS_METER_RECEIPT, receipt, RECEIPT_ACCOUNTS_AT) > 0
        && load_le(receipt + COUNTER_AT) > nv_counter_value(&meter->queries)) {
        return METER_EROLLBACK;
    }
    if (choose(meter, book)) {
        err = store_record(meter, NV_KEYS_METER_BOOK, book, ACCOUNTS_AT);
    }
    set_limit(meter, book);
    return err;
}

int meter_mount(struct meter *meter, const uint8_t *model_id, const uint8_t *family)
{
    const int err = nv_counter_mount(&meter->queries);

    meter->model_id = model_id;
    meter->family = family;
    meter->limit = 0;
    meter->reserved = 0;
    meter->status = 0;
    if (err && err != NV_COUNTER_EEXHAUSTED) {
        meter->storage.sequence = 0; /* not mounted: holds nothing */
        meter->storage.bytes = 0;
        meter->status = err;
        return err;
    }
    const int opened = open(meter);

    meter->status = opened ? opened : (err ? METER_EWORN : 0);
    return meter->status;
}

int meter_reserve(struct meter *meter, uint32_t count)
{
    const uint32_t counter = nv_counter_value(&meter->queries);

    if (meter->status) {
        return meter->status;
    }
    if (counter >= meter->limit || count == 0) {
        return METER_EEMPTY;
    }
    if (nv_counter_headroom(&meter->queries) < METER_MARGIN) {
        return METER_EWORN;
    }
    count = count < meter->limit - counter ? count : meter->limit - counter;
    int err = nv_counter_advance(&meter->queries, count);

    if (!err && counter + count >= meter->next_burn) {
        err = burn(meter);
    }
    if (err) {
        meter->status = err; /* whether it is spent only a mount tells */
        return err;
    }
    meter->reserved += count;
    return 0;
}

int meter_charge(struct meter *meter)
{
    const int err = meter->reserved > 0 ? meter->status : meter_reserve(meter, 1);

    if (!err) {
        meter->reserved--;
    }
    return err;
}

uint32_t meter_balance(const struct meter *meter)
{
    const uint32_t counter = nv_counter_value(&meter->queries);

    if (meter->status) {
        return 0;
    }
    return meter->reserved + (meter->limit > counter ? meter->limit - counter : 0);
}

/* Whether one of the vendors signed the voucher for the subject that it holds. */
static int is_signed(const struct meter *meter, const struct meter_voucher *voucher)
{
    uint8_t keys[NV_KEYS_MAX_VENDOR_KEYS * ED25519_PUBLIC_BYTES];
    uint32_t len;
    const int err = nv_kv_get(&meter->storage, NV_KEYS_VENDOR_KEYS, keys, sizeof keys, &len);

    if (err || len == NV_KV_ABSENT) {
        return err ? err : METER_EIDENTITY;
    }
    for (uint32_t at = 0; len - at >= ED25519_PUBLIC_BYTES; at += ED25519_PUBLIC_BYTES) {
        if (meter_voucher_check(voucher, keys + at) == ED25519_GOOD) {
            return 0;
        }
    }
    return METER_ESIGNATURE;
}

/* For which subject the voucher is: the model in service, its family, or one with an account. */
static int find_subject(const struct meter *meter, struct meter_voucher *voucher, uint8_t *book)
{
    int err = METER_EMODEL;

    for (uint32_t i = 0; i < 2u + book[COUNT_AT]; i++) {
        const uint8_t *const subject =
            i == 0 ? meter->model_id : (i == 1 ? meter->family : account(book, i - 2));

        if (memcmp(voucher->message + METER_VOUCHER_NAMES_SUBJECT_AT, subject, 2) == 0) {
            memcpy(voucher->message + METER_VOUCHER_SUBJECT_AT, subject, METER_SUBJECT_BYTES);
            err = is_signed(meter, voucher);
            if (err != METER_ESIGNATURE) {
                return err;
            }
        }
    }
    return err;
}

/* Marks the serial number. The highest and the 32 below it can be told apart. */
static int mark(uint8_t *account, uint32_t serial)
{
    const uint32_t highest = load_le(account + SERIAL_AT);
    uint32_t window = load_le(account + WINDOW_AT);

    if (serial > highest) {
        const uint32_t step = serial - highest;

        /* What was the highest becomes a bit; a new account's 0 is no serial, but no voucher has
         * it either. */
        window = step > WINDOW ? 0 : (window << 1 | 1u) << (step - 1);
        store_le(account + SERIAL_AT, serial);
    } else {
        const uint32_t below = highest - serial;

        if (below == 0 || below > WINDOW || (window >> (below - 1)) & 1) {
            return METER_EUSED;
        }
        window |= 1u << (below - 1);
    }
    store_le(account + WINDOW_AT, window);
    return 0;
}

/* The account of a subject, opened if it has none yet; null if there is no room. */
static uint8_t *open_account(const struct meter *meter, uint8_t *book, const uint8_t *subject)
{
    uint8_t index = find(book, subject);

    if (index == NONE) {
        index = book[COUNT_AT];
        if (index == METER_ACCOUNTS) {
            return 0;
        }
        memset(account(book, index), 0, ACCOUNT_BYTES);
        memcpy(account(book, index), subject, METER_SUBJECT_BYTES);
        book[COUNT_AT]++;
    }
    (void)choose(meter, book);
    return account(book, index);
}

int meter_redeem(struct meter *meter, const uint8_t *bytes, uint32_t len)
{
    uint8_t book[BOOK_BYTES + SHA256_BYTES];
    struct meter_voucher voucher;
    int err = meter_voucher_read(&voucher, bytes, len);

    err = err ? err : meter->status;
    err = err ? err : load_book(meter, book);
    err = err ? err
              : identity(meter, NV_KEYS_DEVICE_ID, voucher.message + METER_VOUCHER_DEVICE_AT, NV_KEYS_DEVICE_ID_BYTES);
    if (err) {
        return err;
    }
    if (memcmp(voucher.message + METER_VOUCHER_NAMES_DEVICE_AT,
               voucher.message + METER_VOUCHER_DEVICE_AT, 2) != 0) {
        return METER_EDEVICE;
    }
    err = find_subject(meter, &voucher, book);
    if (err) {
        return err;
    }
    if (nv_counter_value(&meter->queries) > voucher.not_after) {
        return METER_ELATE;
    }
    uint8_t *const to = open_account(meter, book, voucher.message + METER_VOUCHER_SUBJECT_AT);

    if (!to || voucher.quantity > UINT32_MAX - load_le(to + CREDITED_AT)) {
        return METER_EFULL;
    }
    err = mark(to, voucher.serial);
    if (err) {
        return err;
    }
    store_le(to + CREDITED_AT, load_le(to + CREDITED_AT) + voucher.quantity);
    err = store_record(meter, NV_KEYS_METER_BOOK, book, ACCOUNTS_AT);
    if (!err) {
        set_limit(meter, book);
    }
    return err;
}

int meter_redeem_text(struct meter *meter, const char *text, uint32_t chars, uint32_t *group)
{
    uint8_t bytes[METER_VOUCHER_MAX_BYTES];
    const int len = meter_voucher_decode(text, chars, bytes, group);

    return len < 0 ? len : meter_redeem(meter, bytes, (uint32_t)len);
}

int meter_identity(const struct meter *meter, uint8_t id[NV_KEYS_DEVICE_ID_BYTES],
                   uint8_t public_key[ED25519_PUBLIC_BYTES])
{
    uint8_t seed[ED25519_SEED_BYTES];
    int err = identity(meter, NV_KEYS_DEVICE_ID, id, NV_KEYS_DEVICE_ID_BYTES);

    err = err ? err : identity(meter, NV_KEYS_DEVICE_KEY, seed, sizeof seed);
    if (!err) {
        ed25519_public(seed, public_key);
    }
    crypto_wipe(seed, sizeof seed);
    return err;
}

/* Makes `receipt` the one after the last, which had `last` bytes, of what the book says now; unless
 * it says nothing new. Returns its bytes. */
static int next_receipt(struct meter *meter, uint8_t *receipt, uint32_t last)
{
    uint8_t book[BOOK_BYTES + SHA256_BYTES];
    uint8_t next[RECEIPT_BYTES + SHA256_BYTES];
    int err = load_book(meter, book);

    memcpy(next, receipt, RECEIPT_BYTES);
    err = err ? err : identity(meter, NV_KEYS_DEVICE_ID, next + DEVICE_AT, NV_KEYS_DEVICE_ID_BYTES);
    if (err) {
        return err;
    }
    const uint32_t len = record_bytes(book, RECEIPT_ACCOUNTS_AT);

    memcpy(next, book, DEVICE_AT);
    next[0] = RECEIPT_FORM;
    store_le(next + COUNTER_AT, nv_counter_value(&meter->queries));
    store_le(next + ANCHOR_AT, meter->otp ? (uint32_t)meter->otp->burnt() : UINT32_MAX);
    memcpy(next + RECEIPT_ACCOUNTS_AT, account(book, 0), len - RECEIPT_ACCOUNTS_AT);
    if (memcmp(next, receipt, len) != 0) {
        if (last > 0) {
            struct sha256 hash;

            sha256_init(&hash);
            sha256_update(&hash, receipt, last);
            sha256_final(&hash, next + PREVIOUS_AT);
        }
        store_le(next + SEQUENCE_AT, load_le(next + SEQUENCE_AT) + 1);
        err = store_record(meter, NV_KEYS_METER_RECEIPT, next, RECEIPT_ACCOUNTS_AT);
        memcpy(receipt, next, len);
    }
    return err ? err : (int)len;
}

int meter_receipt(struct meter *meter, uint32_t have, uint8_t receipt[METER_RECEIPT_MAX_BYTES])
{
    uint8_t seed[ED25519_SEED_BYTES];
    uint8_t message[CONTEXT_BYTES + RECEIPT_BYTES];
    int len = load_record(meter, NV_KEYS_METER_RECEIPT, receipt, RECEIPT_ACCOUNTS_AT);

    if (len > 0 && receipt[0] != RECEIPT_FORM) {
        return METER_ERECORDS;
    }
    if (len == 0 || (len > 0 && load_le(receipt + SEQUENCE_AT) == have)) {
        len = next_receipt(meter, receipt, (uint32_t)len);
    }
    if (len < 0) {
        return len;
    }
    const int err = identity(meter, NV_KEYS_DEVICE_KEY, seed, sizeof seed);

    if (!err) {
        memcpy(message, context, CONTEXT_BYTES);
        memcpy(message + CONTEXT_BYTES, receipt, (uint32_t)len);
        ed25519_sign(seed, message, CONTEXT_BYTES + (uint32_t)len, receipt + len);
    }
    crypto_wipe(seed, sizeof seed);
    return err ? err : len + (int)ED25519_SIGNATURE_BYTES;
}
