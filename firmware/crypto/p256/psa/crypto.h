/* What p256-m includes of PSA: random numbers, to sign. Here nothing signs with it, and it gets
 * none. SPDX-License-Identifier: Apache-2.0 */
#ifndef PSA_CRYPTO_H
#define PSA_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

typedef int32_t psa_status_t;

#define PSA_SUCCESS 0
#define PSA_ERROR_NOT_SUPPORTED (-134)

static inline psa_status_t psa_generate_random(uint8_t *output, size_t output_size)
{
    (void)output;
    (void)output_size;
    return PSA_ERROR_NOT_SUPPORTED;
}

#endif
