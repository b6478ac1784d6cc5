/* Statistics against those of training. SPDX-License-Identifier: Apache-2.0 */
#include "observe.h"

#include <string.h>

#define MAX_ROWS 512u     /* of an input; of a longer one every n-th is looked at */
#define MAX_CHANNELS 4096u
#define LOG_BITS 20u
#define SHARE_ONE 32768   /* 1 as a share */
#define LN2_Q16 45426     /* ln 2 * 65536 */
#define OCTAVE_BINS 8u
#define SLOW_ONE 16u      /* one inference, in the slow histogram */
#define PAST_ONE 65536u   /* and in the past of classes */
#define BINS_BELOW 8u     /* of the latency scale, below the first inference's */

static uint32_t root(uint32_t x)
{
    uint32_t result = 0;

    for (uint32_t bit = 1u << 30; bit > 0; bit >>= 2) {
        if (x >= result + bit) {
            x -= result + bit;
            result = (result >> 1) + bit;
        } else {
            result >>= 1;
        }
    }
    return result;
}

/* The logarithm to base 2 of x >= 1, LOG_BITS of fraction, rounded down. */
static int32_t log_2(uint32_t x)
{
    uint32_t whole = 31;

    while ((x & 0x80000000u) == 0) {
        x <<= 1;
        whole--;
    }
    for (uint32_t i = 0; i < LOG_BITS; i++) {
        const uint64_t square = (uint64_t)x * x >> 31; /* in [1, 4), 31 bits of fraction */
        const uint32_t carry = (uint32_t)(square >> 32);

        whole = whole << 1 | carry;
        x = (uint32_t)(square >> carry);
    }
    return (int32_t)whole;
}

static uint32_t elements_of(const struct capsule_tensor *tensor)
{
    return tensor->dtype == CAPSULE_S8 || tensor->dtype == CAPSULE_U8 ? tensor->bytes : 0;
}

static uint8_t flip_of(const struct capsule_tensor *tensor)
{
    return tensor->dtype == CAPSULE_U8 ? 0x80 : 0; /* uint8 as int8, 128 less */
}

static int is_sound(const struct capsule *capsule)
{
    const struct capsule_reference *const r = capsule->reference;

    return r && r->window > 0 && r->window <= OBSERVE_MAX_WINDOW && r->groups > 0
           && r->groups <= CAPSULE_MAX_GROUPS && r->channels >= r->groups
           && r->channels <= MAX_CHANNELS && capsule->input_count > 0
           && capsule->output_count > 0 && elements_of(&capsule->outputs[0]) > 0
           && elements_of(&capsule->inputs[0]) >= r->channels;
}

void observe_start(struct observe *observe, const struct capsule *capsule, const uint8_t *input,
                   const uint8_t *output)
{
    const uint32_t scores =
        capsule->output_count > 0 ? elements_of(&capsule->outputs[0]) : 0;

    memset(observe, 0, sizeof *observe);
    observe->capsule = capsule;
    observe->reference = is_sound(capsule) ? capsule->reference : 0;
    observe->input = input;
    observe->output = output;
    observe->window = observe->reference ? observe->reference->window : OBSERVE_WINDOW;
    observe->classes = (uint16_t)(scores < OBSERVE_CLASSES ? scores : OBSERVE_CLASSES);
}

uint32_t observe_features(const struct observe *observe)
{
    return observe->reference ? 2u * observe->reference->groups + 2u : 0;
}

uint32_t observe_distributions(const struct observe *observe)
{
    return observe->reference ? observe_features(observe) + 1u : 0;
}

const uint16_t *observe_counts(const struct observe *observe, uint32_t distribution,
                               uint32_t *bins)
{
    const uint32_t features = observe_features(observe);

    *bins = distribution < features ? CAPSULE_BINS : observe->classes;
    return observe->seen + distribution * CAPSULE_BINS;
}

/* One value of a feature. Returns 1 if training had none like it. */
static int take(struct observe *observe, uint32_t index, int32_t value)
{
    const struct capsule_feature *const feature = &observe->reference->features[index];
    struct observe_moments *const m = &observe->moments[index];
    uint32_t bin = 0;

    while (bin < CAPSULE_BINS - 1 && feature->edge[bin] <= value) {
        bin++;
    }
    observe->seen[index * CAPSULE_BINS + bin]++;
    if (observe->count == 0 || value < m->min) {
        m->min = (int16_t)value;
    }
    if (observe->count == 0 || value > m->max) {
        m->max = (int16_t)value;
    }
    const uint32_t square = (uint32_t)(value * value);

    m->sum += value;
    m->squares_low += square;
    m->squares_high += m->squares_low < square;
    return value < feature->low || value > feature->high;
}

/* Level and spread of `n` elements. n in [1, MAX_ROWS * MAX_CHANNELS / groups]; fewer than 2^18, so no
 * sum below is more than 32 bits and no product more than 64. */
static int take_group(struct observe *observe, uint32_t group, uint32_t n, int32_t sum,
                      uint32_t squares)
{
    const uint32_t level = ((uint32_t)(sum + 128 * (int32_t)n) * 16u) / n;
    const uint64_t spread = (uint64_t)n * squares - (uint64_t)((int64_t)sum * sum);

    return take(observe, 2 * group, (int32_t)level - 2048)
           | take(observe, 2 * group + 1, (int32_t)root((uint32_t)(spread * 256u / n / n)));
}

struct lines {
    uint32_t count, stride;
};

int observe_inputs(struct observe *observe)
{
    const struct capsule_reference *const r = observe->reference;
    int is_unusual = 0;

    if (!r) {
        return 0;
    }
    const struct capsule_tensor *const tensor = &observe->capsule->inputs[0];
    const uint32_t rows = elements_of(tensor) / r->channels;
    const uint32_t step = (rows + MAX_ROWS - 1) / MAX_ROWS;
    const struct lines down = { (rows + step - 1) / step, step * r->channels };
    const uint8_t flip = flip_of(tensor);
    uint32_t first = 0;

    for (uint32_t g = 0; g < r->groups; g++) {
        const uint32_t end = (g + 1u) * r->channels / r->groups;
        const struct lines across = { end - first, 1 };
        /* The longer lines are the inner loop. */
        const struct lines inner = across.count > down.count ? across : down;
        const struct lines outer = across.count > down.count ? down : across;
        int32_t sum = 0;
        uint32_t squares = 0;

        for (uint32_t i = 0; i < outer.count; i++) {
            const uint8_t *at = observe->input + first + i * outer.stride;

            for (uint32_t left = inner.count; left > 0; left--, at += inner.stride) {
                const int32_t value = (int8_t)(*at ^ flip);

                sum += value;
                squares += (uint32_t)(value * value);
            }
        }
        is_unusual |= take_group(observe, g, across.count * down.count, sum, squares);
        first = end;
    }
    return is_unusual;
}

/* Class, confidence in 1/255 and entropy in 1/4096 of a bit; scores count from the lowest value. */
static void judge_output(const struct observe *observe, uint32_t *class, uint32_t *confidence,
                         uint32_t *entropy)
{
    const struct capsule_tensor *const tensor = &observe->capsule->outputs[0];
    const uint32_t scores = elements_of(tensor);
    const uint8_t flip = flip_of(tensor) ^ 0x80;
    uint32_t best = 0, top = 0, sum = 0;
    uint64_t weighted = 0;

    for (uint32_t i = 0; i < scores; i++) {
        const uint32_t score = observe->output[i] ^ flip;

        if (score > top) {
            top = score;
            best = i;
        }
        if (score > 0) {
            sum += score;
        }
        if (score > 1) {
            weighted += (uint64_t)score * (uint32_t)log_2(score);
        }
    }
    *class = scores > OBSERVE_CLASSES ? best * OBSERVE_CLASSES / scores : best;
    *confidence = sum > 0 ? top * 255u / sum : 0;
    *entropy =
        sum > 0 ? ((uint32_t)log_2(sum) - (uint32_t)(weighted / sum)) >> (LOG_BITS - 12u) : 0;
}

static void take_latency(struct observe *observe, uint64_t elapsed)
{
    const uint32_t ticks = elapsed < UINT32_MAX ? (uint32_t)elapsed : UINT32_MAX;
    const uint32_t place = (uint32_t)log_2(ticks > 0 ? ticks : 1) >> (LOG_BITS - 3u);

    if (observe->windows == 0 && observe->count == 0) {
        observe->first_bin = (uint16_t)(place > BINS_BELOW ? place - BINS_BELOW : 0);
    }
    const uint32_t bin = place > observe->first_bin ? place - observe->first_bin : 0;

    observe->latency[bin < OBSERVE_LATENCY_BINS ? bin : OBSERVE_LATENCY_BINS - 1]++;
    observe->ticks += ticks;
    if (observe->count == 0 || ticks < observe->shortest) {
        observe->shortest = ticks;
    }
    if (observe->count == 0 || ticks > observe->longest) {
        observe->longest = ticks;
    }
}

static void take_class(struct observe *observe, uint32_t index, uint32_t confidence, uint32_t bin)
{
    struct observe_class *const class = &observe->class[index];

    if (class->sum == 0 || confidence < class->min) {
        class->min = (uint8_t)confidence;
    }
    if (confidence > class->max) {
        class->max = (uint8_t)confidence;
    }
    class->sum += confidence;
    class->squares += confidence * confidence;
    class->bin[bin]++;
}

int observe_outputs(struct observe *observe, uint64_t ticks)
{
    uint32_t class, confidence, entropy, bin = 0;
    const uint32_t features = observe_features(observe);

    if (observe->classes > 0) {
        judge_output(observe, &class, &confidence, &entropy);
        if (features > 0) {
            const int16_t *const edge = observe->reference->features[features - 2].edge;

            while (bin < CAPSULE_BINS - 1 && edge[bin] <= (int32_t)confidence) {
                bin++;
            }
            (void)take(observe, features - 2, (int32_t)confidence);
            (void)take(observe, features - 1, (int32_t)entropy);
        } else {
            bin = confidence / (256u / CAPSULE_BINS);
        }
        observe->seen[features * CAPSULE_BINS + class]++;
        take_class(observe, class, confidence, bin);
    }
    take_latency(observe, ticks);
    observe->count++;
    return observe->count >= observe->window;
}

uint32_t observe_variance(const struct observe_moments *moments, uint32_t count)
{
    const uint64_t squares = (uint64_t)moments->squares_high << 32 | moments->squares_low;
    const uint64_t square_of_sum = (uint64_t)((int64_t)moments->sum * moments->sum);

    return count > 0 ? (uint32_t)((squares * count - square_of_sum) / count / count) : 0;
}

static uint16_t limited(int64_t value)
{
    return (uint16_t)(value < 0 ? 0 : (value > UINT16_MAX ? UINT16_MAX : value));
}

/* What a slow cell will hold once the window is closed. */
static uint32_t faded(const struct observe *observe, uint32_t cell)
{
    const int32_t now = observe->seen[cell] * (int32_t)SLOW_ONE;
    const int32_t was = observe->slow[cell];

    return (uint32_t)(observe->windows == 0 ? now : was + (now - was) / 4);
}

/* Makes shares of cells, in place: each and half a count more, so that none is 0; `unit` is what one
 * inference counts. */
static void divide(uint32_t cell[OBSERVE_CLASSES], uint32_t bins, uint32_t unit)
{
    uint32_t twice = unit * bins;

    for (uint32_t i = 0; i < bins; i++) {
        cell[i] = cell[i] * 2u + unit;
        twice += cell[i] - unit;
    }
    for (uint32_t i = 0; i < bins; i++) {
        cell[i] = (uint32_t)((uint64_t)cell[i] * SHARE_ONE / twice);
        cell[i] += cell[i] == 0;
    }
}

/* Sum of (p - q) ln(p / q): 15 + LOG_BITS bits of fraction and a factor 1 / ln 2 until the end. */
static uint16_t stability(const uint32_t *p, const uint32_t *q, uint32_t bins)
{
    int64_t sum = 0;

    for (uint32_t i = 0; i < bins; i++) {
        sum += (int64_t)((int32_t)p[i] - (int32_t)q[i]) * (log_2(p[i]) - log_2(q[i]));
    }
    return limited((sum >> (15u + LOG_BITS - 20u)) * LN2_Q16 >> 24);
}

int observe_distance(const struct observe *observe, uint32_t distribution,
                     uint16_t statistic[CAPSULE_LIMITS])
{
    const struct capsule_distribution *const d =
        &observe->reference->distributions[distribution];
    const int is_ordered = distribution < observe_features(observe);
    uint32_t p[OBSERVE_CLASSES], q[OBSERVE_CLASSES], slow[OBSERVE_CLASSES], past[OBSERVE_CLASSES];
    uint32_t bins;
    const uint16_t *const counts = observe_counts(observe, distribution, &bins);
    int64_t js = 0;
    int32_t apart = 0, ks = 0;
    int is_beyond = 0;

    for (uint32_t i = 0; i < bins; i++) {
        p[i] = counts[i];
        q[i] = d->share[i] > 0 ? d->share[i] : 1;
        slow[i] = faded(observe, (uint32_t)(counts - observe->seen) + i);
        past[i] = observe->past[i];
    }
    divide(p, bins, 1);
    divide(slow, bins, SLOW_ONE);
    divide(past, bins, PAST_ONE);
    for (uint32_t i = 0; i < bins; i++) {
        const int32_t both = log_2(p[i] + q[i]);

        js += (int64_t)p[i] * (log_2(p[i] * 2u) - both) + (int64_t)q[i] * (log_2(q[i] * 2u) - both);
        apart += (int32_t)p[i] - (int32_t)q[i];
        ks = apart > ks ? apart : (-apart > ks ? -apart : ks);
    }
    js = js > 0 ? js >> (15u + LOG_BITS + 1u - 24u) : 0; /* half of the sum, 24 bits */
    statistic[OBSERVE_PSI] = stability(p, q, bins);
    statistic[OBSERVE_KS] = is_ordered ? limited(ks >> 3) : stability(slow, past, bins);
    statistic[OBSERVE_JS] = limited(root((uint32_t)js));
    statistic[OBSERVE_SLOW] = stability(slow, q, bins);
    for (uint32_t i = 0; i < CAPSULE_LIMITS; i++) {
        const int is_late = i == OBSERVE_SLOW || (i == OBSERVE_MIX && !is_ordered);

        is_beyond |= (!is_late || observe->windows >= OBSERVE_SLOW_START)
                     && statistic[i] > d->limit[i];
    }
    return is_beyond;
}

/* The average of all windows while there are few, later what fades in OBSERVE_PAST of them. */
static void remember(struct observe *observe)
{
    const uint16_t *const now = observe->seen + observe_features(observe) * CAPSULE_BINS;
    const int32_t n = observe->windows < OBSERVE_PAST ? observe->windows + 1 : OBSERVE_PAST;

    for (uint32_t i = 0; i < OBSERVE_CLASSES; i++) {
        const int32_t was = (int32_t)observe->past[i];

        observe->past[i] = (uint32_t)(was + (int32_t)(now[i] * PAST_ONE - (uint32_t)was) / n);
    }
}

void observe_close(struct observe *observe)
{
    if (observe->count > 0) {
        remember(observe);
        for (uint32_t i = 0; i < OBSERVE_CELLS; i++) {
            observe->slow[i] = (uint16_t)faded(observe, i);
        }
        if (observe->windows < UINT16_MAX) {
            observe->windows++;
        }
    }
    observe->count = 0;
    observe->ticks = 0;
    memset(observe->seen, 0, sizeof observe->seen);
    memset(observe->moments, 0, sizeof observe->moments);
    memset(observe->class, 0, sizeof observe->class);
    memset(observe->latency, 0, sizeof observe->latency);
}
