/* CRC-32 bit by bit: records are short, flash is dear. SPDX-License-Identifier: Apache-2.0 */
#include "nv_crc.h"

#define POLYNOMIAL 0xedb88320u

uint32_t nv_crc32(uint32_t crc, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;

    crc = ~crc;
    while (len-- > 0) {
        crc ^= *p++;
        for (unsigned bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (POLYNOMIAL & (0u - (crc & 1)));
        }
    }
    return ~crc;
}
