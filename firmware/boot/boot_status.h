/* Why an image boots or does not. SPDX-License-Identifier: Apache-2.0 */
#ifndef BOOT_STATUS_H
#define BOOT_STATUS_H

/* Everything but BOOT_GOOD is a refusal, zero and what a glitched register holds included. The
 * numbers are in firmware/SPEC.md and do not change. */
enum boot_status {
    BOOT_GOOD = 0x5ac3963c,

    BOOT_EMPTY = 1,          /* the slot does not begin with an image's magic */
    BOOT_EREAD = 2,          /* the flash reports an error */
    BOOT_EWRITE = 3,         /* likewise, or it does not hold what was written */
    BOOT_EHEADER = 4,        /* sizes or flags in the header make no sense */
    BOOT_ESIZE = 5,          /* the image is larger than its slot */
    BOOT_ETLV = 6,           /* a TLV section is malformed */
    BOOT_EDUPLICATE = 7,     /* a TLV is there twice */
    BOOT_EUNPROTECTED = 8,   /* a TLV is where the signature does not cover it, or is unknown */
    BOOT_ETRAILING = 9,      /* bytes after the last TLV */
    BOOT_EHASH = 10,         /* damaged: the SHA-256 is another */
    BOOT_EKEY = 11,          /* not signed by a key this bootloader trusts */
    BOOT_ESIGNATURE = 12,    /* the signature is wrong */
    BOOT_EADDRESS = 13,      /* linked for another slot */
    BOOT_EBOARD = 14,        /* made for another board, or not for this image */
    BOOT_ECOUNTER = 15,      /* security counter lower than this board's: withdrawn */
    BOOT_EVERSION = 16,      /* older than the image it would replace */
    BOOT_EDEPENDENCY = 17,   /* needs another version of the other image */
    BOOT_ENCRYPTED = 18,     /* encrypted, and this board cannot decrypt it */
    BOOT_EUNWRAP = 19,       /* encrypted for another board */
    BOOT_EEXHAUSTED = 20,    /* the security counter or the state register has no room left */
    BOOT_ENOCOUNTER = 21,    /* the security counter cannot be read */
    BOOT_ENOSTATE = 22,      /* the state register cannot be read */
    BOOT_ECHANGED = 23,      /* the second look saw other bytes than the first */
    BOOT_REVERTED = 24,      /* was tried, did not confirm itself */
    BOOT_EUNCONFIRMED = 25,  /* not while an image is on trial */
    BOOT_ECONFIG = 26,       /* the slots or areas do not fit the flash or each other */
    BOOT_ENOKEY = 27,        /* encrypted, and the board was given no key to decrypt with */
};

/* One line for people; "unknown status" for a number that is none of these. */
const char *boot_status_text(enum boot_status status);

#endif
