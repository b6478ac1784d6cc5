/* What p256-m includes of Mbed TLS. Only its verification is linked, which has nothing to wipe.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MBEDTLS_PLATFORM_UTIL_H
#define MBEDTLS_PLATFORM_UTIL_H

#include "monocypher.h"

#define mbedtls_platform_zeroize crypto_wipe

#endif
