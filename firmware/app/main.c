/* The application: serves three protocols on one UART. SPDX-License-Identifier: Apache-2.0 */
#include "console.h"
#include "hal.h"
#include "images.h"
#include "mlperf.h"
#include "serving.h"
#include "text.h"

int main(void);

int main(void)
{
    images_start();
    serving_start();
    console_start();
    text_greet();
    mlperf_greet();
    for (;;) {
        console_poll();
        (void)hal.clock->ticks(); /* keeps a 32-bit counter's extension going */
    }
}
