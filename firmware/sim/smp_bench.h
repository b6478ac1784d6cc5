/* The image group of a device in memory, and a client that updates it.
 * SPDX-License-Identifier: Apache-2.0
 *
 * The device is the one of boot_bench.h. Calls return 0 if the device said so. */
#ifndef SMP_BENCH_H
#define SMP_BENCH_H

#include <stdint.h>

#include "boot.h"

/* The application starts: nothing is known but what the bootloader left. */
void smp_bench_start(const struct boot_handover *handover);

/* Uploads an image, or a patch, from its beginning; the device must say that it is whole. */
int smp_bench_upload(uint32_t image, const uint8_t *bytes, uint32_t len);

/* Has the image with this hash tried at the next start. */
int smp_bench_test(const uint8_t hash[32]);

/* Keeps what runs. */
int smp_bench_confirm(void);

#endif
