/* What SHA-256 and SHA-512 share (FIPS 180-4). SPDX-License-Identifier: Apache-2.0
 *
 * Both take their constants from the same roots: SHA-256 the first 32 bits, SHA-512 64. */
#ifndef SHA2_H
#define SHA2_H

#include <stdint.h>

extern const uint64_t sha2_round_constants[80]; /* SHA-256 uses the first 64 */
extern const uint64_t sha2_initial_state[8];

#endif
