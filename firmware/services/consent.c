/* What the owner allows. SPDX-License-Identifier: Apache-2.0 */
#include "consent.h"

#include <string.h>

#include "ed25519.h"
#include "hmac.h"
#include "monocypher.h"

#define FORM 0x30u
#define LEVEL_AT 1u
#define LINKS_AT 2u
#define ZERO_AT 3u
#define SEQUENCE_AT 4u
#define DEVICE_AT 8u
#define EPSILON_AT 24u
#define WIDE_AT 26u /* two bytes of zero */
#define BUDGET_AT 28u
#define SIGNED_BYTES 32u

static const char context[] = "tinyseal consent";
static const char noise_context[] = "tinyseal noise";
#define CONTEXT_BYTES (sizeof context - 1)

_Static_assert(SIGNED_BYTES + ED25519_SIGNATURE_BYTES == CONSENT_BYTES, "in consent.h");

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

/* A value of exactly `bytes`; CONSENT_EIDENTITY. */
static int value_of(const struct consent *consent, uint16_t key, uint8_t *value, uint32_t bytes)
{
    uint32_t len;
    const int err = nv_kv_get(consent->storage, key, value, bytes, &len);

    return err ? err : (len == bytes ? 0 : CONSENT_EIDENTITY);
}

static int check(const struct consent *consent, const uint8_t *bytes, uint32_t len)
{
    uint8_t message[CONTEXT_BYTES + SIGNED_BYTES], owner[ED25519_PUBLIC_BYTES];
    uint8_t id[NV_KEYS_DEVICE_ID_BYTES];

    if (len != CONSENT_BYTES || bytes[0] != FORM || bytes[LEVEL_AT] > CONSENT_SAMPLES
        || bytes[LINKS_AT] > CONSENT_NOT_BY_RADIO || bytes[ZERO_AT] != 0
        || bytes[WIDE_AT] != 0 || bytes[WIDE_AT + 1] != 0
        || (bytes[LEVEL_AT] == CONSENT_NOISED && load_le(bytes + EPSILON_AT) == 0)) {
        return CONSENT_EFORM;
    }
    int err = value_of(consent, NV_KEYS_DEVICE_ID, id, sizeof id);

    err = err ? err : value_of(consent, NV_KEYS_OWNER_KEY, owner, sizeof owner);
    if (err) {
        return err;
    }
    if (memcmp(id, bytes + DEVICE_AT, sizeof id) != 0) {
        return CONSENT_EDEVICE;
    }
    memcpy(message, context, CONTEXT_BYTES);
    memcpy(message + CONTEXT_BYTES, bytes, SIGNED_BYTES);
    return ed25519_check(owner, message, sizeof message, bytes + SIGNED_BYTES) == ED25519_GOOD
               ? 0
               : CONSENT_ESIGNATURE;
}

static void take(struct consent *consent, const uint8_t *bytes)
{
    consent->level = (enum consent_level)bytes[LEVEL_AT];
    consent->links = bytes[LINKS_AT];
    consent->sequence = load_le(bytes + SEQUENCE_AT);
    consent->epsilon = (uint16_t)load_le(bytes + EPSILON_AT);
    consent->budget = load_le(bytes + BUDGET_AT);
}

void consent_mount(struct consent *consent)
{
    uint8_t bytes[CONSENT_BYTES], spent[4];

    *consent = (struct consent){ .storage = consent->storage, .spent = UINT32_MAX };
    int err = value_of(consent, NV_KEYS_PRIVACY, spent, sizeof spent);

    if (!err) {
        consent->spent = load_le(spent);
    } else if (err == CONSENT_EIDENTITY) {
        consent->spent = 0; /* nothing was */
    }
    err = value_of(consent, NV_KEYS_CONSENT, bytes, sizeof bytes);
    err = err ? err : check(consent, bytes, sizeof bytes);
    if (!err) {
        take(consent, bytes);
    }
}

int consent_set(struct consent *consent, const uint8_t *bytes, uint32_t len)
{
    int err = check(consent, bytes, len);

    if (err) {
        return err;
    }
    if (load_le(bytes + SEQUENCE_AT) <= consent->sequence) {
        return CONSENT_EOLD;
    }
    consent->level = CONSENT_NONE; /* whatever becomes of the write: a mount tells */
    err = nv_kv_set(consent->storage, NV_KEYS_CONSENT, bytes, CONSENT_BYTES);
    if (!err) {
        take(consent, bytes);
    }
    return err;
}

int consent_spend(struct consent *consent, struct consent_noise *noise)
{
    uint8_t seed[ED25519_SEED_BYTES], spent[4];
    struct hmac hmac;

    if (consent->spent > consent->budget
        || consent->epsilon > consent->budget - consent->spent) {
        return CONSENT_ESPENT;
    }
    int err = value_of(consent, NV_KEYS_DEVICE_KEY, seed, sizeof seed);

    store_le(spent, consent->spent + consent->epsilon);
    err = err ? err : nv_kv_set(consent->storage, NV_KEYS_PRIVACY, spent, sizeof spent);
    if (!err) {
        consent->spent += consent->epsilon;
        /* What is spent only grows, so no two reports have the same noise. */
        hmac_init(&hmac, seed, sizeof seed);
        hmac_update(&hmac, noise_context, sizeof noise_context - 1);
        hmac_update(&hmac, spent, sizeof spent);
        hmac_final(&hmac, noise->key);
        noise->blocks = 0;
        noise->used = SHA256_BYTES;
    }
    crypto_wipe(seed, sizeof seed);
    return err;
}

static uint32_t draw(struct consent_noise *noise)
{
    if (noise->used >= SHA256_BYTES) {
        uint8_t number[4];
        struct hmac hmac;

        store_le(number, noise->blocks++);
        hmac_init(&hmac, noise->key, sizeof noise->key);
        hmac_update(&hmac, number, sizeof number);
        hmac_final(&hmac, noise->block);
        noise->used = 0;
    }
    const uint32_t word = load_le(noise->block + noise->used);

    noise->used += 4;
    return word;
}

/* Uniform in [0, n): what would make the lower ones more likely is drawn again. */
static uint32_t below(struct consent_noise *noise, uint32_t n)
{
    const uint32_t unfair = (UINT32_MAX - n + 1u) % n; /* 2^32 % n */
    uint32_t word = draw(noise);

    while (word < unfair) {
        word = draw(noise);
    }
    return word % n;
}

/* 1 with a chance of exp(-a / b), exactly, for a <= b: the series of exp as coins
 * (Canonne, Kamath and Steinke, "The Discrete Gaussian for Differential Privacy", 2020). */
static int is_exp(struct consent_noise *noise, uint32_t a, uint32_t b)
{
    uint32_t k = 1;

    while (below(noise, b) < a && below(noise, k) == 0) {
        k++;
    }
    return (int)(k & 1u);
}

int32_t consent_laplace(struct consent_noise *noise, uint32_t a, uint32_t b)
{
    for (;;) {
        const uint32_t u = below(noise, b);
        uint32_t v = 0;

        if (!is_exp(noise, u, b)) {
            continue;
        }
        while (v < 1000 && is_exp(noise, 1, 1)) {
            v++;
        }
        const uint32_t magnitude = (u + b * v) / a;
        const int is_negative = (int)(draw(noise) & 1u);

        if (is_negative && magnitude == 0) {
            continue;
        }
        return is_negative ? -(int32_t)magnitude : (int32_t)magnitude;
    }
}
