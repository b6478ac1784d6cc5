/* Stands in for firmware/hal/mmio.h: registers are the model's. SPDX-License-Identifier: Apache-2.0 */
#ifndef MMIO_H
#define MMIO_H

#include <stdint.h>

uint32_t mmio_read32(uint32_t address);
void mmio_write32(uint32_t address, uint32_t value);

#endif
