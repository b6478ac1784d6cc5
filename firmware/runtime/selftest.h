/* The self-test that every capsule carries, firmware/SPEC.md. SPDX-License-Identifier: Apache-2.0
 *
 * The caller resets the capsule, fills, invokes, and compares: the outputs are right if
 * selftest_crc() is the capsule's test_crc. */
#ifndef SELFTEST_H
#define SELFTEST_H

#include "capsule.h"

/* Puts the inputs drawn from the capsule's seed where its inputs lie. */
void selftest_fill(const struct capsule *capsule, const struct capsule_memory *memory);

/* CRC-32 of the outputs as they lie, one after the other. */
uint32_t selftest_crc(const struct capsule *capsule, const struct capsule_memory *memory);

#endif
