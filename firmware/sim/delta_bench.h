/* Patches made in memory, for campaigns; host/tinyseal/package/delta.py makes the real ones.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DELTA_BENCH_H
#define DELTA_BENCH_H

#include <stdint.h>

/* The patch that makes `new` of `old`, both signed images of at most some thousand bytes, as
 * differences from the first byte on and then new bytes. Returns its length; exits if it does not
 * fit into `cap`. */
uint32_t delta_bench_make(uint8_t image, const uint8_t *old, uint32_t old_bytes,
                          const uint8_t *new, uint32_t new_bytes, uint8_t *patch, uint32_t cap);

#endif
