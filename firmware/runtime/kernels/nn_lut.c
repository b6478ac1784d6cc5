/* Any function of one int8, by table. SPDX-License-Identifier: Apache-2.0 */
#include "nn_lut.h"

void nn_lut_s8(const int8_t table[256], const int8_t *in, int8_t *out, int32_t count)
{
    for (const int8_t *end = in + count; in < end; in++) {
        *out++ = table[(uint8_t)*in];
    }
}
