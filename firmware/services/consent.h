/* What the owner of a device allows to leave it, and noise for what may leave only with it.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Nothing is allowed until the owner has signed it. A consent is signed for one device, has a
 * number, and replaces those with lower ones; so nobody takes back what was withdrawn. firmware/SPEC.md has it byte
 * by byte. */
#ifndef CONSENT_H
#define CONSENT_H

#include <stdint.h>

#include "nv_keys.h"
#include "nv_kv.h"
#include "sha256.h"

enum {
    CONSENT_EFORM = -80,      /* these bytes are none */
    CONSENT_EDEVICE = -81,    /* it is for another device */
    CONSENT_ESIGNATURE = -82, /* the owner did not sign it */
    CONSENT_EOLD = -83,       /* its number is not above that of the one in force */
    CONSENT_EIDENTITY = -84,  /* the device was given no id, no key or no owner */
    CONSENT_ESPENT = -85,     /* the budget for reports with noise is used up */
};

enum consent_level {
    CONSENT_NONE = 0,
    CONSENT_HEALTH = 1,     /* that it works: time, memory, restarts; nothing of what it sees */
    CONSENT_NOISED = 2,     /* and what it concludes, as histograms with noise */
    CONSENT_AGGREGATED = 3, /* and all statistics as they are */
    CONSENT_SAMPLES = 4,    /* and unusual inputs */
};

enum consent_link {
    CONSENT_NOT_BY_RADIO = 1, /* a bit of `links` */
};

#define CONSENT_BYTES 96u
#define CONSENT_EPSILON_ONE 256u /* 1, as epsilons and budgets are written */

struct consent {
    struct nv_kv *storage; /* mounted, by the caller */

    /* The rest is the module's own; the level may be read. */
    enum consent_level level;
    uint8_t links;
    uint32_t sequence;
    uint16_t epsilon; /* a report */
    uint32_t budget;  /* of all reports there ever were */
    uint32_t spent;
};

/* Takes into force what is stored. What does not verify is as none. */
void consent_mount(struct consent *consent);

/* Takes a new one into force. 0, or one of the above, or what the flash said. */
int consent_set(struct consent *consent, const uint8_t *bytes, uint32_t len);

/* Random numbers that nobody without the device's key can tell, for one report. */
struct consent_noise {
    uint8_t key[SHA256_BYTES];
    uint8_t block[SHA256_BYTES];
    uint32_t blocks;
    uint32_t used; /* bytes of the block */
};

/* Pays epsilon for a report, in flash, and starts its noise. 0 or CONSENT_ESPENT, or what the
 * flash said: then nothing may leave. */
int consent_spend(struct consent *consent, struct consent_noise *noise);

/* A number of the discrete Laplace distribution: n with a chance in proportion to exp(-|n| a / b);
 * a >= 1, and b from 1 to 65535. */
int32_t consent_laplace(struct consent_noise *noise, uint32_t a, uint32_t b);

#endif
