/* ESP32, processor 0: what differs from its relatives. SPDX-License-Identifier: Apache-2.0 */
#include "esp_chip.h"
#include "extend.h"

static struct extend cycles;

uint64_t esp_chip_ticks(void)
{
    uint32_t count;

    __asm volatile("rsr %0, ccount" : "=r"(count));
    return extend_ticks(&cycles, count);
}

/* The vectors are in RAM by now. */
void esp_chip_start(void)
{
    __asm volatile("movi a8, esp32_vectors\n"
                   "wsr a8, vecbase\n"
                   "rsync"
                   :
                   :
                   : "a8");
}
