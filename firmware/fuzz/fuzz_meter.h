/* Vouchers, and records of prepaid queries, of any bytes. SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_METER_H
#define FUZZ_METER_H

#include <stdint.h>

/* The first byte says what the others are: a voucher's text, its bytes, a book or a receipt. Book
 * and receipt get the tag that the device would give them, so that what is behind it is reached.
 * Takes the simulated flash for itself; leaves it unconfigured. */
void fuzz_meter(const uint8_t *data, uint32_t size);

#endif
