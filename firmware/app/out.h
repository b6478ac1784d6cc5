/* Text to the console. SPDX-License-Identifier: Apache-2.0 */
#ifndef OUT_H
#define OUT_H

#include <stddef.h>
#include <stdint.h>

void out_text(const char *text);

/* As out_text, with everything but printable ASCII as `?`: for names that come from a model. */
void out_name(const char *text);

void out_chars(const char *chars, size_t len);
void out_u64(uint64_t value);
void out_i32(int32_t value);

/* Lower case, `digits` of them, the lowest of `value`. */
void out_hex(uint32_t value, unsigned digits);

/* As printf's %.3f for |value| < 2^29; beyond, and for infinities and NaN, +-2^29. */
void out_float3(float value);

/* Ends the line: carriage return, line feed. */
void out_end(void);

#endif
