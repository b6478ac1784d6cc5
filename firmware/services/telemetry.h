/* Statistics that the owner allowed to leave: records in a log, for whoever asks.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A record is made of each window of inferences and of each start, at the level of consent of that moment;
 * without consent none is made. firmware/SPEC.md has the records. */
#ifndef TELEMETRY_H
#define TELEMETRY_H

#include <stdint.h>

#include "consent.h"
#include "nv_log.h"
#include "observe.h"

#define TELEMETRY_FORM 1u         /* of records; what they have more of later does not change it */
#define TELEMETRY_MAX_BYTES 1920u /* of a record, but for samples */
#define TELEMETRY_SENSITIVITY 6u  /* one inference more and one less, in three histograms */

/* What only the application knows. */
struct telemetry_facts {
    const char *firmware;          /* its version */
    const uint32_t *inferences;    /* since the start */
    const uint32_t *refused;
    uint32_t reset_cause;          /* enum hal_reset_cause */
    uint32_t verdict[2];           /* enum boot_status of application and capsule; 0: not told */
    uint32_t hz;                   /* of the ticks */
    uint32_t active_uw;            /* of the board while it infers; 0: its profile does not say */
};

struct telemetry {
    struct consent consent; /* the caller fills in storage */
    struct nv_log log;      /* area; all 0: there is none, and nothing is kept */

    /* The rest is the module's own. */
    struct telemetry_facts facts;
    struct observe observe;
    const uint8_t *input, *output;
    uint32_t chance;    /* of what is drawn by lot */
    uint16_t unusual;   /* inputs of the window */
    uint8_t is_open;    /* the log */
    uint8_t is_running; /* the model */
};

/* Starts for a capsule whose first input and output lie there. */
void telemetry_start(struct telemetry *telemetry, const struct telemetry_facts *facts,
                     const struct capsule *capsule, const uint8_t *input, const uint8_t *output);

/* Around every inference; the second with the ticks it took. */
void telemetry_before(struct telemetry *telemetry);
void telemetry_after(struct telemetry *telemetry, uint64_t ticks);

/* Takes a new consent into force, as consent_set(); what was counted before it is forgotten. Not while
 * the model runs. */
int telemetry_allow(struct telemetry *telemetry, const uint8_t *bytes, uint32_t len);

/* The first record above `after` that may leave. Its bytes are behind the first one, which is its
 * level. Returns 1, 0 if there is none, or an error. */
int telemetry_find(const struct telemetry *telemetry, uint32_t after,
                   struct nv_log_record *record);

#endif
