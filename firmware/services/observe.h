/* Statistics of a model's inputs, outputs and timing, against those of its training.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Integers only, memory fixed, no flash: what is kept is one window of inferences, and of the windows
 * before it a histogram that fades. firmware/SPEC.md, "Statistics", defines every number. */
#ifndef OBSERVE_H
#define OBSERVE_H

#include <stdint.h>

#include "capsule.h"

#define OBSERVE_FEATURES (2 * CAPSULE_MAX_GROUPS + 2)
#define OBSERVE_CLASSES CAPSULE_SHARES
#define OBSERVE_DISTRIBUTIONS (OBSERVE_FEATURES + 1)
#define OBSERVE_CELLS (OBSERVE_FEATURES * CAPSULE_BINS + OBSERVE_CLASSES)
#define OBSERVE_LATENCY_BINS 32 /* eight to the octave */
#define OBSERVE_WINDOW 256      /* of a capsule without a reference */
#define OBSERVE_MAX_WINDOW 1024
#define OBSERVE_SLOW_START 8 /* windows; of fewer the fading histogram is not judged */
#define OBSERVE_PAST 32      /* windows that the past of classes goes back to */

enum observe_statistic {
    OBSERVE_PSI = 0,  /* population stability index */
    OBSERVE_KS = 1,   /* of features: largest difference of the cumulative shares */
    OBSERVE_MIX = 1,  /* of classes, which have no order: PSI of the fading histogram against the past */
    OBSERVE_JS = 2,   /* Jensen-Shannon distance, base 2 */
    OBSERVE_SLOW = 3, /* PSI of the fading histogram */
};

struct observe_moments {
    int32_t sum;
    uint32_t squares_low, squares_high;
    int16_t min, max;
};

/* What confidence a class was given with, in 1/255. */
struct observe_class {
    uint32_t sum, squares;
    uint8_t min, max;
    uint16_t bin[CAPSULE_BINS];
};

struct observe {
    const struct capsule *capsule;
    const struct capsule_reference *reference; /* null: there is none, or it is not sound */
    const uint8_t *input, *output;             /* where they lie */
    uint16_t window;
    uint16_t classes; /* bins of the classes; 0: the output is none of classes */
    uint16_t count;   /* inferences of the window so far */
    uint16_t windows; /* closed since the start; the last number stays */
    uint16_t seen[OBSERVE_CELLS];
    uint16_t slow[OBSERVE_CELLS]; /* 16 times as much, the older the less */
    uint32_t past[OBSERVE_CLASSES]; /* of the windows closed, on average: 65536 times as much */
    struct observe_moments moments[OBSERVE_FEATURES];
    struct observe_class class[OBSERVE_CLASSES];
    uint64_t ticks;
    uint32_t shortest, longest; /* ticks */
    uint16_t first_bin;         /* of the octave scale */
    uint16_t latency[OBSERVE_LATENCY_BINS];
};

/* Starts anew for a capsule. input and output are where its first ones lie. */
void observe_start(struct observe *observe, const struct capsule *capsule, const uint8_t *input,
                   const uint8_t *output);

/* Before the model runs, its inputs being in place. 1 if this input is outside of what training
 * had, else 0. */
int observe_inputs(struct observe *observe);

/* After it ran. 1 if the window is complete: then it is to be closed before the next inference. */
int observe_outputs(struct observe *observe, uint64_t ticks);

/* How many features there are, and distributions: those of the features, then the classes'. */
uint32_t observe_features(const struct observe *observe);
uint32_t observe_distributions(const struct observe *observe);

/* The counts of a distribution; its bins in *bins. */
const uint16_t *observe_counts(const struct observe *observe, uint32_t distribution,
                               uint32_t *bins);

/* Mean of squares less square of mean, rounded down. */
uint32_t observe_variance(const struct observe_moments *moments, uint32_t count);

/* The window's distance to training, in 1/4096, and whether one of them is beyond its limit. With the
 * fading histogram as if the window were closed. */
int observe_distance(const struct observe *observe, uint32_t distribution,
                     uint16_t statistic[CAPSULE_LIMITS]);

/* Ends the window: it fades into the slow histogram and the past, and the next one begins. */
void observe_close(struct observe *observe);

#endif
