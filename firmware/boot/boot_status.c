/* Why an image boots or does not. SPDX-License-Identifier: Apache-2.0 */
#include "boot_status.h"

#include <stddef.h>

static const char *const texts[] = {
    [BOOT_EMPTY] = "no image",
    [BOOT_EREAD] = "cannot read flash",
    [BOOT_EWRITE] = "cannot write flash",
    [BOOT_EHEADER] = "bad header",
    [BOOT_ESIZE] = "larger than its slot",
    [BOOT_ETLV] = "malformed TLVs",
    [BOOT_EDUPLICATE] = "a TLV twice",
    [BOOT_EUNPROTECTED] = "TLV not protected or unknown",
    [BOOT_ETRAILING] = "bytes after the image",
    [BOOT_EHASH] = "damaged",
    [BOOT_EKEY] = "unknown key",
    [BOOT_ESIGNATURE] = "bad signature",
    [BOOT_EADDRESS] = "linked for another slot",
    [BOOT_EBOARD] = "for another board or image",
    [BOOT_ECOUNTER] = "withdrawn by security counter",
    [BOOT_EVERSION] = "older version",
    [BOOT_EDEPENDENCY] = "needs another version of the other image",
    [BOOT_ENCRYPTED] = "encrypted",
    [BOOT_EUNWRAP] = "encrypted for another board",
    [BOOT_EEXHAUSTED] = "counter exhausted",
    [BOOT_ENOCOUNTER] = "cannot read security counter",
    [BOOT_ENOSTATE] = "cannot read state",
    [BOOT_ECHANGED] = "changed between two looks",
    [BOOT_REVERTED] = "reverted, was not confirmed",
    [BOOT_EUNCONFIRMED] = "an image is on trial",
    [BOOT_ECONFIG] = "slots do not fit the flash",
    [BOOT_ENOKEY] = "encrypted, no key in storage",
};

const char *boot_status_text(enum boot_status status)
{
    if (status == BOOT_GOOD) {
        return "good";
    }
    if (status > 0 && (size_t)status < sizeof texts / sizeof *texts && texts[status]) {
        return texts[status];
    }
    return "unknown status";
}
