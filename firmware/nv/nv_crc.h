/* CRC-32 (ISO-HDLC, as zlib's), against accidents, not against people.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NV_CRC_H
#define NV_CRC_H

#include <stddef.h>
#include <stdint.h>

/* `crc` is 0 at the start, and the last result to go on. */
uint32_t nv_crc32(uint32_t crc, const void *bytes, size_t len);

#endif
