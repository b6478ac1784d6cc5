/* The application: serves two line protocols on one UART. SPDX-License-Identifier: Apache-2.0
 * A line that ends in a line feed is tinyseal's (text.h), one that ends in `%` is MLPerf Tiny's
 * (mlperf.h). */
#include "hal.h"
#include "images.h"
#include "line.h"
#include "mlperf.h"
#include "text.h"

int main(void);

static struct line line;

int main(void)
{
    images_start();
    text_greet();
    mlperf_greet();
    for (;;) {
        const int byte = hal.uart->read();

        if (byte < 0) {
            (void)hal.clock->ticks(); /* keeps a 32-bit counter's extension going */
            continue;
        }
        const int terminator = line_push(&line, byte);

        if (terminator == '%') {
            mlperf_serve(line.text, line.fault);
        } else if (terminator == '\n') {
            if (line.fault) {
                text_refuse(line.fault);
            } else {
                text_serve(line.text);
            }
        }
        if (terminator) {
            line_clear(&line);
        }
    }
}
