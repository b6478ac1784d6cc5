/* The console's bytes, parted among the protocols on it. SPDX-License-Identifier: Apache-2.0 */
#include "console.h"

#include "board_config.h"
#include "groups.h"
#include "hal.h"
#include "line.h"
#include "mlperf.h"
#include "smp.h"
#include "smp_os.h"
#include "smp_serial.h"
#include "text.h"

static struct line line;
static int held = -1; /* a byte that came while a line was being served */

static uint8_t frame[BOARD_SMP_BUFFER_BYTES];
static uint8_t answer[BOARD_SMP_ANSWER_BYTES];
static struct smp_serial serial = { .frame = frame, .cap = sizeof frame };
static struct smp_server server = { .answer = answer, .answer_cap = sizeof answer };

void console_start(void)
{
    server.groups = groups;
    server.group_count = group_count;
    smp_os_start(sizeof frame);
}

static void serve_line(int terminator)
{
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

/* One step of the request there is; 0 if there is none. */
static int step(void)
{
    if (!smp_is_busy(&server)) {
        return 0;
    }
    const uint32_t bytes = smp_step(&server);

    if (bytes > 0) {
        smp_serial_write(answer, bytes, hal.uart->write);
        smp_sent(&server);
    }
    return 1;
}

static void start_request(void)
{
    uint32_t bytes;
    const uint8_t *const packet = smp_serial_packet(&serial, &bytes);

    (void)smp_start(&server, packet, bytes); /* step() left nothing to be busy with */
}

void console_poll(void)
{
    if (step()) {
        return;
    }
    const int byte = held >= 0 ? held : hal.uart->read();

    if (byte < 0) {
        return;
    }
    held = -1;
    switch (smp_serial_push(&serial, (uint8_t)byte)) {
    case SMP_SERIAL_OTHER:
        serve_line(line_push(&line, byte));
        break;
    case SMP_SERIAL_BEGIN:
        line_clear(&line);
        break;
    case SMP_SERIAL_PACKET:
        start_request();
        break;
    case SMP_SERIAL_TAKEN:
    default:
        break;
    }
}
