/* Vouchers as they come: bytes, or text that a person may have typed. SPDX-License-Identifier: Apache-2.0
 *
 * A voucher names device and model by two bytes each; whole, both stand in what is signed, and the
 * device knows them. So it is short. firmware/SPEC.md has it byte by byte. All input is hostile. */
#ifndef METER_VOUCHER_H
#define METER_VOUCHER_H

#include <stdint.h>

#include "ed25519.h"
#include "nv_keys.h"

enum {
    METER_EFORM = -64, /* no voucher: of another length or form, or with other characters */
    METER_ETYPED = -65, /* a group of the text has a wrong character, or groups are out of order */
};

#define METER_SUBJECT_BYTES 32 /* model id, or a family's */
#define METER_VOUCHER_MAX_BYTES 81u
#define METER_VOUCHER_MAX_CHARS 200u /* of text, blanks and dashes included */

/* What is signed: a context, the device's id, a subject, the voucher's own bytes. */
#define METER_VOUCHER_DEVICE_AT 16u
#define METER_VOUCHER_SUBJECT_AT (METER_VOUCHER_DEVICE_AT + NV_KEYS_DEVICE_ID_BYTES)
#define METER_VOUCHER_OWN_AT (METER_VOUCHER_SUBJECT_AT + METER_SUBJECT_BYTES)
#define METER_VOUCHER_NAMES_DEVICE_AT (METER_VOUCHER_OWN_AT + 1u) /* by two bytes */
#define METER_VOUCHER_NAMES_SUBJECT_AT (METER_VOUCHER_OWN_AT + 3u)

struct meter_voucher {
    uint32_t serial;    /* of this device and subject, from 1 */
    uint32_t quantity;  /* queries, at least 1 */
    uint32_t not_after; /* the device's counter up to which it can be redeemed */
    const uint8_t *signature; /* in the caller's bytes */
    uint32_t signed_bytes;
    uint8_t message[METER_VOUCHER_OWN_AT + 17]; /* device and subject are the caller's to fill in */
};

/* Takes a voucher apart; its signature stays the caller's. 0 or METER_EFORM. Nothing is verified. */
int meter_voucher_read(struct meter_voucher *voucher, const uint8_t *bytes, uint32_t len);

/* Bytes of a voucher out of its text. Returns how many, METER_EFORM, or METER_ETYPED with the
 * group, from 1, in *group. Upper and lower case, O and 0, I and L and 1 are one. */
int meter_voucher_decode(const char *text, uint32_t chars,
                         uint8_t bytes[METER_VOUCHER_MAX_BYTES], uint32_t *group);

/* The signature, once device and subject are filled in. */
static inline enum ed25519_verdict
meter_voucher_check(const struct meter_voucher *voucher,
                    const uint8_t vendor_key[ED25519_PUBLIC_BYTES])
{
    return ed25519_check(vendor_key, voucher->message, voucher->signed_bytes,
                         voucher->signature);
}

#endif
