/* Any function of one int8, by table. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_LUT_H
#define NN_LUT_H

#include <stdint.h>

/* out[i] = table[in[i] as uint8_t], so the table starts with the results for 0 to 127 and ends
 * with those for -128 to -1. out may be in. */
void nn_lut_s8(const int8_t table[256], const int8_t *in, int8_t *out, int32_t count);

#endif
