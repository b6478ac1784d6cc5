/* Prepaid queries on hardware of somebody else's, without a network. SPDX-License-Identifier: Apache-2.0
 *
 * A counter in flash counts every query before it is served. The book, a record in storage under
 * a MAC of the device's own, says what vouchers have brought each model, and up to where the counter
 * was set against it. What is left of a balance is worked out from both, so no copy of an old book
 * gives anything back: the counter has gone on.
 *
 * A cut of the power costs at most the query that was being paid, and what meter_reserve() had
 * paid ahead. Receipts are signed when somebody asks for one, not at every query.
 *
 * firmware/SPEC.md has voucher, book and receipt byte by byte, and what all this is worth. */
#ifndef METER_H
#define METER_H

#include <stdint.h>

#include "meter_voucher.h"
#include "nv_counter.h"
#include "nv_kv.h"
#include "otp.h"

enum {
    METER_EEMPTY = -60,    /* no prepaid query is left for this model */
    METER_EWORN = -61,     /* counter or storage are near the end of their life */
    METER_ERECORDS = -62,  /* the book is missing, or does not verify */
    METER_EROLLBACK = -63, /* counter, book and anchor contradict each other: something is old */
    METER_EDEVICE = -66,   /* the voucher is for another device */
    METER_EMODEL = -67,    /* the voucher is for no model of this device */
    METER_ESIGNATURE = -68, /* nobody signed this voucher whose vouchers are taken here */
    METER_EUSED = -69,     /* its serial number was redeemed, or is older than the last 32 */
    METER_ELATE = -70,     /* the counter is past what the voucher allows */
    METER_EFULL = -71,     /* no room for another model, or for so large a balance */
    METER_EIDENTITY = -72, /* the device was given no id, key, or vendor's key */
};

#define METER_ACCOUNTS 4  /* models and families with a balance */
#define METER_MARGIN 64u  /* commits of the counter that stay unsold, for restarts */
#define METER_RECEIPT_MAX_BYTES 320u

struct meter {
    struct nv_counter queries; /* the caller fills in area and endurance_cycles */
    struct nv_kv storage;      /* area */
    const struct hal_otp *otp; /* null: none */
    uint32_t queries_per_bit;  /* of otp, at least 1 */

    /* The rest is the module's own. */
    const uint8_t *model_id;
    const uint8_t *family;
    uint32_t limit;        /* of the counter: paid up to here */
    uint32_t next_burn;    /* of the counter: here a bit is burnt */
    uint32_t reserved;     /* paid and not yet served */
    int status;            /* 0, or why nothing is served */
};

/* Opens the accounts of a model. `model_id` and `family` (zeros, which nobody sells vouchers for:
 * none), 32 bytes each, must stay. Returns 0, or why nothing will be served until it is mounted again; asking for the balance
 * and for a receipt may work all the same. */
int meter_mount(struct meter *meter, const uint8_t *model_id, const uint8_t *family);

/* Pays one query: call it, then serve it. 0: the flash says that it is spent. Else nothing may be
 * served: METER_EEMPTY, METER_EWORN, or what meter_mount() or the flash said. */
int meter_charge(struct meter *meter);

/* Pays `count` queries ahead with one commit, or as many as there are; meter_charge() then takes
 * from them without touching the flash. A power cut loses them. METER_EEMPTY where all that are
 * left are reserved already. */
int meter_reserve(struct meter *meter, uint32_t count);

/* Queries that can be had before the next voucher. */
uint32_t meter_balance(const struct meter *meter);

/* Redeems a voucher, once. 0, one of the errors above, or METER_EFORM. */
int meter_redeem(struct meter *meter, const uint8_t *bytes, uint32_t len);

/* The same of its text, for devices with keys or a camera; *group as meter_voucher_decode() says. */
int meter_redeem_text(struct meter *meter, const char *text, uint32_t chars, uint32_t *group);

/* The device's id and the public half of its key, by which its receipts are known. */
int meter_identity(const struct meter *meter, uint8_t id[NV_KEYS_DEVICE_ID_BYTES],
                   uint8_t public_key[ED25519_PUBLIC_BYTES]);

/* The newest receipt, signed. One that nobody has yet (`have` is not its number) is given again,
 * the same bytes; else a new one is made of what happened since, if anything did. Returns its
 * bytes, at most METER_RECEIPT_MAX_BYTES, or an error. */
int meter_receipt(struct meter *meter, uint32_t have, uint8_t receipt[METER_RECEIPT_MAX_BYTES]);

#endif
