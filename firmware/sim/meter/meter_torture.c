/* Prepaid queries under power cuts anywhere. SPDX-License-Identifier: Apache-2.0
 *
 * usage: meter ERASE_BYTES PROGRAM_BYTES COUNT SEED
 *
 * Two models share a device: queries, reservations, vouchers old and new, receipts, restarts, and
 * cuts in any of them, restarts included. After each step, by what the device says:
 *   - every query served is spent;
 *   - a cut cost at most the query being paid, and what was reserved;
 *   - a voucher counted once, however often it was shown;
 *   - a receipt that was once given is the one given until it is known, and they follow each other.
 * Prints one line, "QUERIES CUTS VOUCHERS LOST FAILURES", once COUNT queries were asked for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flash_sim.h"
#include "meter.h"

#define MODELS 2u
#define COUNTER_SECTORS 2u
#define STORAGE_SECTORS 2u
#define RECENT 40u /* vouchers that are shown again */
#define VOUCHER_BYTES 77u

enum act { ACT_QUERY, ACT_RESERVE, ACT_REDEEM, ACT_RECEIPT, ACT_RESTART };

struct shown {
    uint8_t bytes[VOUCHER_BYTES];
    uint32_t model;
    uint32_t quantity;
    uint32_t serial;
    int is_redeemed;
};

/* What is true, whatever the device thinks: it outlives every cut. */
static struct {
    uint64_t served[MODELS];
    uint64_t lost[MODELS];     /* at most, by cuts */
    uint64_t credited[MODELS];
    uint32_t serial[MODELS];   /* the last issued */
    uint32_t highest[MODELS];  /* redeemed */
    struct shown recent[RECENT];
    uint32_t model;            /* in service */
    uint32_t receipt;          /* the newest that was received */
    uint8_t given[METER_RECEIPT_MAX_BYTES]; /* and one that may not be known yet */
    int given_bytes;
} world;

static struct meter meter;
static uint64_t state, cuts, queries, vouchers;
static int failures;
static uint8_t models[MODELS][32];
static const uint8_t no_family[32];
static uint8_t device_id[16], device_seed[32], vendor_seed[32], vendor_key[32];

/* What the act at hand is, and how far it came. */
static enum act act;
static struct shown *voucher;
static uint32_t count;
static int result;
static uint32_t is_paying;

/* splitmix64, as power.c's. */
static uint32_t draw(uint32_t below)
{
    uint64_t z = (state += 0x9e3779b97f4a7c15ull);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (uint32_t)((z ^ (z >> 31)) % below);
}

static void fail(const char *what, long long is, long long expected)
{
    fprintf(stderr, "meter: %s: %lld, expected %lld, after %llu queries and %llu cuts\n", what,
            is, expected, (unsigned long long)queries, (unsigned long long)cuts);
    failures++;
}

static void store_le(uint8_t *p, uint32_t word)
{
    for (unsigned i = 0; i < 4; i++) {
        p[i] = (uint8_t)(word >> (8 * i));
    }
}

static struct nv_area area(uint32_t sector, uint32_t sectors)
{
    return (struct nv_area){ &flash_sim, sector * flash_sim.erase_bytes,
                             sectors * flash_sim.erase_bytes };
}

static void mount(void *unused)
{
    (void)unused;
    meter = (struct meter){
        .queries = { .area = area(0, COUNTER_SECTORS), .endurance_cycles = UINT32_MAX / 8 },
        .storage = { .area = area(COUNTER_SECTORS, STORAGE_SECTORS) },
        .queries_per_bit = 1,
    };
    result = meter_mount(&meter, models[world.model], no_family);
}

/* What tinyseal provision writes; the book's tag comes from the host. */
static void provision(const uint8_t *book, uint32_t len)
{
    struct nv_counter counter = { .area = area(0, COUNTER_SECTORS), .endurance_cycles = 1 };
    struct nv_kv kv = { .area = area(COUNTER_SECTORS, STORAGE_SECTORS) };

    if (nv_counter_format(&counter, 0) || nv_kv_mount(&kv)
        || nv_kv_set(&kv, NV_KEYS_DEVICE_ID, device_id, sizeof device_id)
        || nv_kv_set(&kv, NV_KEYS_DEVICE_KEY, device_seed, sizeof device_seed)
        || nv_kv_set(&kv, NV_KEYS_VENDOR_KEYS, vendor_key, sizeof vendor_key)
        || nv_kv_set(&kv, NV_KEYS_METER_BOOK, book, len)) {
        fail("provisioning", -1, 0);
    }
}

static void issue(struct shown *to)
{
    uint8_t message[16 + 16 + 32 + 13];
    uint8_t *const own = message + 64;

    *to = (struct shown){ .model = draw(MODELS), .quantity = 1 + draw(50) };
    world.serial[to->model] += 1 + draw(10) / 9;
    to->serial = world.serial[to->model];
    memcpy(message, "tinyseal voucher", 16);
    memcpy(message + 16, device_id, 16);
    memcpy(message + 32, models[to->model], 32);
    own[0] = 0x10;
    memcpy(own + 1, device_id, 2);
    memcpy(own + 3, models[to->model], 2);
    store_le(own + 5, to->serial);
    store_le(own + 9, to->quantity);
    memcpy(to->bytes, own, 13);
    ed25519_sign(vendor_seed, message, sizeof message, to->bytes + 13);
    vouchers++;
}

static void do_act(void *unused)
{
    (void)unused;
    switch (act) {
    case ACT_QUERY:
        is_paying = 1;
        result = meter_charge(&meter);
        is_paying = 0;
        if (result == 0) {
            world.served[world.model]++;
        }
        break;
    case ACT_RESERVE:
        is_paying = count;
        result = meter_reserve(&meter, count);
        is_paying = 0;
        break;
    case ACT_REDEEM:
        result = meter_redeem(&meter, voucher->bytes, sizeof voucher->bytes);
        break;
    case ACT_RECEIPT: {
        uint8_t receipt[METER_RECEIPT_MAX_BYTES];

        result = meter_receipt(&meter, world.receipt, receipt);
        if (result > 0) {
            if (world.given_bytes
                && (result != world.given_bytes
                    || memcmp(world.given, receipt, (size_t)result) != 0)) {
                fail("another receipt under the same number", 0, 0);
            }
            world.given_bytes = result;
            memcpy(world.given, receipt, (size_t)result);
        }
        break;
    }
    case ACT_RESTART:
        mount(0);
        break;
    }
}

/* The power comes back, and may go again while the device starts. */
static void restart(void)
{
    while (draw(4) == 0 && flash_sim_run(draw(8), draw(64), mount, 0) == FLASH_SIM_CUT) {
        cuts++;
    }
    if (flash_sim_run(FLASH_SIM_NO_CUT, 0, mount, 0) != FLASH_SIM_DONE || result) {
        fail("mount", result, 0);
    }
}

static void check(void)
{
    const uint32_t m = world.model; /* the balance of others cannot be asked for */
    const uint64_t spent = world.credited[m] - meter_balance(&meter);

    if (meter.status) {
        fail("status", meter.status, 0);
    }
    if (spent < world.served[m]) {
        fail("spent less than served", (long long)spent, (long long)world.served[m]);
    }
    if (spent > world.served[m] + world.lost[m]) {
        fail("lost more than cuts allow", (long long)spent,
             (long long)(world.served[m] + world.lost[m]));
    }
    world.lost[m] = spent - world.served[m]; /* what a cut did not take, none may take later */
}

/* Whether the device can no longer tell if it was redeemed, and refuses it. */
static int is_too_old(const struct shown *shown)
{
    const uint32_t highest = world.highest[shown->model];

    return highest > shown->serial && highest - shown->serial > 32;
}

static void credit(struct shown *shown)
{
    shown->is_redeemed = 1;
    world.credited[shown->model] += shown->quantity;
    if (shown->serial > world.highest[shown->model]) {
        world.highest[shown->model] = shown->serial;
    }
}

/* A cut while redeeming leaves the voucher redeemed or not. Showing it again tells which. */
static void settle(void)
{
    const uint32_t model = voucher->model, was = world.model;
    uint32_t before, after;

    world.model = model;
    restart();
    before = meter_balance(&meter);
    result = meter_redeem(&meter, voucher->bytes, sizeof voucher->bytes);
    after = meter_balance(&meter);
    if (result == 0 && voucher->is_redeemed) {
        fail("redeemed twice, serial number", voucher->serial, 0);
    }
    if (result != 0 && result != METER_EUSED) {
        fail("redeem after a cut", result, METER_EUSED);
    }
    if (after - before != (result == 0 ? voucher->quantity : 0)) {
        fail("credit", after - before, voucher->quantity);
    }
    if (!voucher->is_redeemed && !is_too_old(voucher)) {
        credit(voucher); /* by the first showing, or by this one */
    }
    check();
    world.model = was;
    restart();
}

static void after_act(void)
{
    int expected;

    switch (act) {
    case ACT_QUERY:
    case ACT_RESERVE:
        /* None is left; or all that are left are reserved already. */
        if (result != 0
            && (result != METER_EEMPTY
                || meter_balance(&meter) != (act == ACT_RESERVE ? meter.reserved : 0))) {
            fail("charge", result, 0);
        }
        break;
    case ACT_REDEEM:
        expected = voucher->is_redeemed || is_too_old(voucher) ? METER_EUSED : 0;
        if (result == METER_EMODEL && voucher->model != world.model) {
            break; /* no account of it yet, and another model is in service */
        }
        if (result != expected) {
            fail("redeem", result, expected);
        } else if (result == 0) {
            credit(voucher);
        }
        break;
    case ACT_RECEIPT: {
        const uint32_t number = world.given[20] | (uint32_t)world.given[21] << 8
                                | (uint32_t)world.given[22] << 16;

        if (result <= 0 || (number != world.receipt && number != world.receipt + 1)) {
            fail("receipt", result > 0 ? (int)number : result, world.receipt + 1);
        }
        if (number == world.receipt || draw(3) > 0) { /* received; else lost on its way, and asked for again */
            world.receipt = number;
            world.given_bytes = 0;
        }
        break;
    }
    case ACT_RESTART:
        if (result) {
            fail("mount", result, 0);
        }
        break;
    }
}

static void step(void)
{
    const uint32_t dice = draw(200);
    const uint32_t reserved = meter.reserved;

    act = dice < 180 ? ACT_QUERY : dice < 182 ? ACT_RESERVE : dice < 194 ? ACT_REDEEM
          : dice < 195 ? ACT_RECEIPT : ACT_RESTART;
    count = 1 + draw(10);
    if (act == ACT_QUERY) {
        queries++;
    } else if (act == ACT_REDEEM) {
        voucher = &world.recent[draw(RECENT)];
        if (voucher->serial == 0 || draw(2) == 0) {
            issue(voucher);
            voucher = draw(4) == 0 ? &world.recent[draw(RECENT)] : voucher; /* out of order */
        }
        act = voucher->serial == 0 ? ACT_RECEIPT : act;
    } else if (act == ACT_RESTART) {
        world.lost[world.model] += reserved;
        world.model = draw(MODELS);
    }
    /* Most payments are one operation; now and then an erase unit is opened. */
    const uint32_t operations = act == ACT_REDEEM || act == ACT_RECEIPT ? 40
                                : draw(4) == 0 ? 6 : 1;
    const uint32_t cut = draw(10) == 0 ? draw(operations) : FLASH_SIM_NO_CUT;

    if (flash_sim_run(cut, draw(64), do_act, 0) == FLASH_SIM_CUT) {
        cuts++;
        world.lost[world.model] += (act == ACT_RESTART ? 0 : reserved) + is_paying;
        is_paying = 0;
        restart();
        if (act == ACT_REDEEM) {
            settle();
        }
    } else {
        after_act();
    }
    check();
}

int main(int argc, char **argv)
{
    /* The book of a new device with this seed: form, no accounts, counter 0; and its tag. */
    uint8_t book[24];

    if (argc != 6 || strlen(argv[5]) != 2 * sizeof book) {
        fprintf(stderr, "usage: meter ERASE_BYTES PROGRAM_BYTES COUNT SEED BOOK\n");
        return 2;
    }
    const uint32_t erase_bytes = (uint32_t)strtoul(argv[1], 0, 0);
    const uint64_t wanted = strtoull(argv[3], 0, 0);

    for (size_t i = 0; i < sizeof book; i++) {
        const char digits[3] = { argv[5][2 * i], argv[5][2 * i + 1], 0 };

        book[i] = (uint8_t)strtoul(digits, 0, 16);
    }
    state = strtoull(argv[4], 0, 0);
    flash_sim_seed(state);
    flash_sim_configure((COUNTER_SECTORS + STORAGE_SECTORS) * erase_bytes, erase_bytes,
                        (uint32_t)strtoul(argv[2], 0, 0));
    memset(device_seed, 1, sizeof device_seed);
    memset(vendor_seed, 2, sizeof vendor_seed);
    memset(device_id, 3, sizeof device_id);
    memset(models[0], 4, sizeof models[0]);
    memset(models[1], 5, sizeof models[1]);
    ed25519_public(vendor_seed, vendor_key);
    provision(book, sizeof book);
    restart();
    while (queries < wanted && failures == 0) {
        step();
    }
    printf("%llu %llu %llu %llu %d\n", (unsigned long long)queries, (unsigned long long)cuts,
           (unsigned long long)vouchers, (unsigned long long)(world.lost[0] + world.lost[1]),
           failures);
    return failures != 0;
}
