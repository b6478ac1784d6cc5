/* Why a command was refused. SPDX-License-Identifier: Apache-2.0 */
#include "status.h"

const char *status_text(int status)
{
    static const char *const texts[] = {
        "ok",
        "unknown command; try: help",
        "wrong arguments; try: help",
        "out of range",
        "checksum mismatch",
        "line too long",
        "line has unprintable bytes",
        "input not loaded",
        "input is used up by one inference",
        "malformed data",
        "no room on this board",
        "no model",
        "model is for another application",
        "boot state cannot be changed",
        "no prepaid query is left",
        "the counter of queries is worn out",
        "the records of prepaid queries do not verify",
        "the model is running",
        "self-test failed",
    };
    const unsigned index = (unsigned)-status;

    return index < sizeof texts / sizeof texts[0] ? texts[index] : "unknown status";
}
