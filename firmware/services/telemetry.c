/* Records of statistics. SPDX-License-Identifier: Apache-2.0 */
#include "telemetry.h"

#include "cbor.h"
#include "stack.h"

#define MODEL_BYTES 8u /* of its id: enough to tell models apart */

enum kind {
    KIND_WINDOW = 1,
    KIND_START = 2,
    KIND_SAMPLE = 3,
};

/* Keys of records: small numbers, which never change their meaning. */
enum key {
    KEY_FORM = 0,
    KEY_KIND = 1,
    KEY_LEVEL = 2,
    KEY_MODEL = 3,
    KEY_WINDOW = 4, /* its number since the start */
    KEY_COUNT = 5,  /* inferences; in a sample: those before it */
    KEY_MEMORY = 6,
    KEY_LATENCY = 7,
    KEY_ENERGY = 8,
    KEY_FEATURES = 9,
    KEY_CLASSES = 10,
    KEY_DISTANCES = 11,
    KEY_DRIFTED = 12,
    KEY_NOISED = 13,
    KEY_UNUSUAL = 14, /* inputs of the window; in a sample: the how manieth of them it is */
    KEY_CAUSE = 15,
    KEY_VERDICTS = 16,
    KEY_FIRMWARE = 17,
    KEY_INPUT = 18,
};

static void put_bins(struct cbor_writer *out, const uint16_t *bins, uint32_t count)
{
    cbor_put_array(out, count);
    for (uint32_t i = 0; i < count; i++) {
        cbor_put_uint(out, bins[i]);
    }
}

static void put_pair(struct cbor_writer *out, enum key key, uint32_t value)
{
    cbor_put_uint(out, key);
    cbor_put_uint(out, value);
}

/* What every record begins with: the level, then a map of 4 pairs and `more`. */
static struct cbor_writer begin(const struct telemetry *t, uint8_t *bytes, uint32_t cap,
                                enum kind kind, uint32_t more)
{
    struct cbor_writer out = { .start = bytes, .at = bytes + 1, .end = bytes + cap };

    bytes[0] = (uint8_t)t->consent.level;
    cbor_put_map(&out, 4 + more);
    put_pair(&out, KEY_FORM, TELEMETRY_FORM);
    put_pair(&out, KEY_KIND, kind);
    put_pair(&out, KEY_LEVEL, (uint32_t)t->consent.level);
    cbor_put_uint(&out, KEY_MODEL);
    cbor_put_bytes(&out, t->observe.capsule->model_id, MODEL_BYTES);
    return out;
}

static void end(struct telemetry *t, const struct cbor_writer *out)
{
    if (!out->is_full) {
        (void)nv_log_append(&t->log, out->start, (uint32_t)(out->at - out->start));
    }
}

static void put_memory(struct cbor_writer *out, const struct telemetry *t)
{
    const struct capsule *const capsule = t->observe.capsule;

    cbor_put_uint(out, KEY_MEMORY);
    cbor_put_array(out, 5);
    cbor_put_uint(out, stack_high_water());
    cbor_put_uint(out, stack_bytes());
    cbor_put_uint(out, capsule->arena_bytes[0] + capsule->arena_bytes[1]);
    cbor_put_uint(out, *t->facts.inferences);
    cbor_put_uint(out, *t->facts.refused);
}

static void put_latency(struct cbor_writer *out, const struct telemetry *t)
{
    const struct observe *const o = &t->observe;

    cbor_put_uint(out, KEY_LATENCY);
    cbor_put_array(out, 7);
    cbor_put_uint(out, t->facts.hz);
    cbor_put_uint(out, o->shortest);
    cbor_put_uint(out, o->longest);
    cbor_put_uint(out, (uint32_t)(o->ticks >> 32));
    cbor_put_uint(out, (uint32_t)o->ticks);
    cbor_put_uint(out, o->first_bin);
    put_bins(out, o->latency, OBSERVE_LATENCY_BINS);
}

/* Nanojoule an inference: microwatts times seconds, times 1000. */
static uint32_t energy(const struct telemetry *t)
{
    const uint64_t each = t->observe.ticks / t->observe.count;
    const uint64_t nj = each * t->facts.active_uw / (t->facts.hz / 1000u);

    return nj < UINT32_MAX ? (uint32_t)nj : UINT32_MAX;
}

static void put_features(struct cbor_writer *out, const struct observe *o)
{
    cbor_put_uint(out, KEY_FEATURES);
    cbor_put_array(out, observe_features(o));
    for (uint32_t i = 0; i < observe_features(o); i++) {
        uint32_t bins;
        const uint16_t *const counts = observe_counts(o, i, &bins);

        cbor_put_array(out, 5);
        cbor_put_int(out, o->moments[i].sum);
        cbor_put_uint(out, observe_variance(&o->moments[i], o->count));
        cbor_put_int(out, o->moments[i].min);
        cbor_put_int(out, o->moments[i].max);
        put_bins(out, counts, bins);
    }
}

static void put_classes(struct cbor_writer *out, const struct observe *o)
{
    cbor_put_uint(out, KEY_CLASSES);
    cbor_put_array(out, o->classes);
    for (uint32_t i = 0; i < o->classes; i++) {
        const struct observe_class *const c = &o->class[i];

        cbor_put_array(out, 5);
        cbor_put_uint(out, c->sum);
        cbor_put_uint(out, c->squares);
        cbor_put_uint(out, c->min);
        cbor_put_uint(out, c->max);
        put_bins(out, c->bin, CAPSULE_BINS);
    }
}

static void put_distances(struct cbor_writer *out, const struct observe *o)
{
    uint32_t drifted = 0;

    cbor_put_uint(out, KEY_DISTANCES);
    cbor_put_array(out, observe_distributions(o));
    for (uint32_t i = 0; i < observe_distributions(o); i++) {
        uint16_t statistic[CAPSULE_LIMITS];

        drifted |= (uint32_t)(observe_distance(o, i, statistic) != 0) << i;
        put_bins(out, statistic, CAPSULE_LIMITS);
    }
    put_pair(out, KEY_DRIFTED, drifted);
}

static void put_noised(struct cbor_writer *out, struct telemetry *t, struct consent_noise *noise)
{
    const struct observe *const o = &t->observe;
    const uint32_t classes = observe_features(o);
    const uint32_t wanted[3] = { classes, classes - 2, classes - 1 };
    const uint32_t count = classes > 0 ? 3 : 1;

    cbor_put_uint(out, KEY_NOISED);
    cbor_put_array(out, 1 + count);
    cbor_put_uint(out, t->consent.epsilon);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bins;
        const uint16_t *const counts = observe_counts(o, wanted[i], &bins);

        cbor_put_array(out, bins);
        for (uint32_t j = 0; j < bins; j++) {
            cbor_put_int(out, counts[j]
                                  + consent_laplace(noise, t->consent.epsilon,
                                                    TELEMETRY_SENSITIVITY
                                                        * CONSENT_EPSILON_ONE));
        }
    }
}

static void put_window(struct telemetry *t)
{
    const enum consent_level level = t->consent.level;
    const struct observe *const o = &t->observe;
    const int is_open = level >= CONSENT_AGGREGATED;
    struct consent_noise noise;
    const int is_noised = level == CONSENT_NOISED && consent_spend(&t->consent, &noise) == 0;
    const uint32_t more = 4u + (t->facts.active_uw > 0 ? 1u : 0u)
                          + (is_open ? (o->reference ? 5u : 1u) : 0u) + (is_noised ? 1u : 0u);
    uint8_t bytes[TELEMETRY_MAX_BYTES];
    struct cbor_writer out = begin(t, bytes, sizeof bytes, KIND_WINDOW, more);

    put_pair(&out, KEY_WINDOW, o->windows);
    put_pair(&out, KEY_COUNT, o->count);
    put_memory(&out, t);
    put_latency(&out, t);
    if (t->facts.active_uw > 0) {
        put_pair(&out, KEY_ENERGY, energy(t));
    }
    if (is_open) {
        put_classes(&out, o);
    }
    if (is_open && o->reference) {
        put_features(&out, o);
        put_distances(&out, o);
        put_pair(&out, KEY_UNUSUAL, t->unusual);
    }
    if (is_noised) {
        put_noised(&out, t, &noise);
    }
    end(t, &out);
}

static void put_start(struct telemetry *t)
{
    uint8_t bytes[96];
    struct cbor_writer out = begin(t, bytes, sizeof bytes, KIND_START, 3);

    put_pair(&out, KEY_CAUSE, t->facts.reset_cause);
    cbor_put_uint(&out, KEY_VERDICTS);
    cbor_put_array(&out, 2);
    cbor_put_uint(&out, t->facts.verdict[0]);
    cbor_put_uint(&out, t->facts.verdict[1]);
    cbor_put_uint(&out, KEY_FIRMWARE);
    cbor_put_text(&out, t->facts.firmware);
    end(t, &out);
}

/* The input, as far as a record has room for one. */
static void put_sample(struct telemetry *t)
{
    const struct observe *const o = &t->observe;
    uint8_t bytes[TELEMETRY_MAX_BYTES];
    struct cbor_writer out = begin(t, bytes, sizeof bytes, KIND_SAMPLE, 4);

    put_pair(&out, KEY_WINDOW, o->windows);
    put_pair(&out, KEY_COUNT, o->count);
    put_pair(&out, KEY_UNUSUAL, t->unusual);
    cbor_put_uint(&out, KEY_INPUT);
    cbor_put_bytes(&out, o->input, o->capsule->inputs[0].bytes);
    end(t, &out);
}

static void begin_anew(struct telemetry *t, const struct capsule *capsule)
{
    t->unusual = 0;
    observe_start(&t->observe, capsule, t->input, t->output);
    if (t->is_open && t->consent.level != CONSENT_NONE) {
        put_start(t);
    }
}

void telemetry_start(struct telemetry *telemetry, const struct telemetry_facts *facts,
                     const struct capsule *capsule, const uint8_t *input, const uint8_t *output)
{
    struct telemetry *const t = telemetry;

    t->facts = *facts;
    t->input = input;
    t->output = output;
    t->is_running = 0;
    t->is_open = t->log.area.flash && nv_log_mount(&t->log) == 0;
    t->chance = t->log.next * 0x9e3779b1u | 1u;
    consent_mount(&t->consent);
    begin_anew(t, capsule);
}

int telemetry_allow(struct telemetry *telemetry, const uint8_t *bytes, uint32_t len)
{
    const int err = consent_set(&telemetry->consent, bytes, len);

    if (!err) {
        begin_anew(telemetry, telemetry->observe.capsule);
    }
    return err;
}

/* Xorshift, of Marsaglia: nothing here has to be a secret. */
static uint32_t draw(struct telemetry *t)
{
    t->chance ^= t->chance << 13;
    t->chance ^= t->chance >> 17;
    t->chance ^= t->chance << 5;
    return t->chance;
}

void telemetry_before(struct telemetry *telemetry)
{
    struct telemetry *const t = telemetry;

    t->is_running = 1;
    if (!observe_inputs(&t->observe)) {
        return;
    }
    t->unusual++;
    /* A reservoir of one that needs no memory: the n-th replaces the last one told with a chance of
     * 1 / n, so at the end of the window any of them is the last alike. */
    if (t->is_open && t->consent.level == CONSENT_SAMPLES && draw(t) % t->unusual == 0) {
        put_sample(t);
    }
}

void telemetry_after(struct telemetry *telemetry, uint64_t ticks)
{
    struct telemetry *const t = telemetry;

    t->is_running = 0;
    if (!observe_outputs(&t->observe, ticks)) {
        return;
    }
    if (t->is_open && t->consent.level != CONSENT_NONE) {
        put_window(t);
    }
    observe_close(&t->observe);
    t->unusual = 0;
}

int telemetry_find(const struct telemetry *telemetry, uint32_t after,
                   struct nv_log_record *record)
{
    const struct nv_log *const log = &telemetry->log;

    for (;;) {
        uint8_t level;
        int found = telemetry->is_open ? nv_log_find(log, after, record) : 0;

        if (found <= 0) {
            return found;
        }
        const int err = nv_area_read(&log->area, record->offset, &level, 1);

        if (err) {
            return err;
        }
        if (record->len > 1 && level <= (uint32_t)telemetry->consent.level) {
            return 1;
        }
        after = record->number;
    }
}
