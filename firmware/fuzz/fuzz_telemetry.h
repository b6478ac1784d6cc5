/* Consents, and logs of statistics, of any bytes. SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_TELEMETRY_H
#define FUZZ_TELEMETRY_H

#include <stdint.h>

void fuzz_telemetry(const uint8_t *data, uint32_t size);

#endif
