/* What the storage partition holds, by key. SPDX-License-Identifier: Apache-2.0
 *
 * Written at provisioning (tinyseal provision), read by bootloader and application. The numbers
 * are in firmware/SPEC.md and do not change; those from 0x100 up are the application's own. */
#ifndef NV_KEYS_H
#define NV_KEYS_H

enum {
    NV_KEYS_DEVICE_ID = 1,   /* 16 bytes */
    NV_KEYS_DEVICE_KEY = 2,  /* 32 bytes, secret: Ed25519 seed, the device signs with it */
    NV_KEYS_DECRYPT_KEY = 3, /* 32 bytes, secret: X25519, opens encrypted images */
    NV_KEYS_VENDOR_KEYS = 4, /* 32 bytes each: Ed25519 public keys whose vouchers are taken; the
                              * bootloader has its own compiled in and never reads these */
    NV_KEYS_METER_BOOK = 5,    /* what each model has been given and has used: services/meter.c */
    NV_KEYS_METER_RECEIPT = 6, /* the newest receipt, without its signature */
    NV_KEYS_OWNER_KEY = 7, /* 32 bytes: Ed25519 public key of whoever decides what leaves the device */
    NV_KEYS_CONSENT = 8,   /* what that one allowed, as it was signed: services/consent.c */
    NV_KEYS_PRIVACY = 9,   /* how much of the noise's budget is spent */
};

#define NV_KEYS_DEVICE_ID_BYTES 16
#define NV_KEYS_DECRYPT_KEY_BYTES 32
#define NV_KEYS_MAX_VENDOR_KEYS 4

#endif
