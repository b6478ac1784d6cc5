/* The console's bytes, parted among the protocols on it, and the radio's. SPDX-License-Identifier: Apache-2.0 */
#include "console.h"

#include "board_config.h"
#include "groups.h"
#include "hal.h"
#include "lines.h"
#include "model.h"
#include "smp.h"
#include "smp_os.h"
#include "smp_serial.h"
#include "smp_stat.h"
#include "smp_stream.h"

#define SILENCE_SECONDS 1u /* after which the rest of a packet does not come any more */

/* Bytes that came while a line was being served: the first that is not SMP's, perhaps behind one
 * that might have been. */
static uint8_t held[2];
static uint8_t held_bytes;
static uint8_t maybe; /* 1: the last byte was such a one, and is in held[0] */

/* A request, and behind it its answer. */
static uint8_t frame[BOARD_SMP_BUFFER_BYTES + SMP_ANSWER_BYTES];
static struct smp_serial serial;
static struct smp_stream stream;
static struct smp_server server;
static const struct hal_uart *uart; /* the console's bytes */
static const struct hal_uart *asked; /* where the request came from that is being served */
static uint64_t console_heard, radio_heard; /* when, in ticks */

static const struct smp_stat_field server_fields[] = {
    { "requests", &server.counts.requests },
    { "refused", &server.counts.refused },
    { "dropped", &server.counts.dropped },
    { "damaged", &serial.bad },
};
static const struct smp_stat_field model_fields[] = {
    { "inferences", &model_counts.inferences },
    { "refused", &model_counts.refused },
};
static const struct smp_stat_field console_fields[] = {
    { "most", &hal_received.most },
    { "lost", &hal_received.lost },
};
static const struct smp_stat stats[] = {
    { "smp_svr_stats", server_fields, sizeof server_fields / sizeof server_fields[0] },
    { "model", model_fields, sizeof model_fields / sizeof model_fields[0] },
    { "console", console_fields, sizeof console_fields / sizeof console_fields[0] },
};

void console_start(void)
{
    server = (struct smp_server){
        .groups = groups,
        .group_count = group_count,
        .end = frame + sizeof frame,
    };
    serial = (struct smp_serial){ .frame = frame, .cap = BOARD_SMP_BUFFER_BYTES };
    stream = (struct smp_stream){ .packet = frame, .cap = BOARD_SMP_BUFFER_BYTES };
    uart = hal_listen();
    lines_clear();
    held_bytes = 0;
    maybe = 0;
    smp_os_start(BOARD_SMP_BUFFER_BYTES);
    smp_stat_start(stats, sizeof stats / sizeof stats[0]);
}

/* One step of the request there is; 0 if there is none. */
static int step(void)
{
    if (!smp_is_busy(&server)) {
        return 0;
    }
    const uint32_t bytes = smp_step(&server);

    if (bytes > 0) {
        if (asked == hal.radio) {
            hal.radio->write(server.answer, bytes);
        } else {
            smp_serial_write(server.answer, bytes, hal.uart->write);
        }
        smp_sent(&server);
    }
    return 1;
}

static void start_request(void)
{
    uint32_t bytes;
    uint8_t *const packet = smp_serial_packet(&serial, &bytes);

    asked = hal.uart;
    server.is_by_radio = 0;
    (void)smp_start(&server, packet, bytes); /* step() left nothing to be busy with */
}

static int is_silent_since(uint64_t heard, uint64_t now)
{
    return now - heard > (uint64_t)SILENCE_SECONDS * hal.clock->hz;
}

/* A byte of the radio; 0 if there is none. Both lines receive into `frame`. The console goes first:
 * a radio's packet that is under way when one begins there is lost, and sent again by a host that
 * gets no answer. */
static int poll_radio(void)
{
    const int byte = hal.radio ? hal.radio->read() : -1;

    if (byte < 0) {
        return 0;
    }
    const uint64_t now = hal.clock->ticks();

    if (is_silent_since(radio_heard, now)) {
        smp_stream_forget(&stream);
    }
    radio_heard = now;
    if (smp_serial_is_open(&serial)) {
        if (is_silent_since(console_heard, now)) {
            smp_serial_drop(&serial);
        } else {
            smp_stream_lose(&stream);
        }
    }
    const uint32_t bytes = smp_stream_push(&stream, (uint8_t)byte);

    if (bytes > 0) {
        asked = hal.radio;
        server.is_by_radio = 1;
        (void)smp_start(&server, frame, bytes);
    }
    return 1;
}

/* A line begins on the console. */
static void lose_stream(void)
{
    if (smp_stream_is_open(&stream)) {
        smp_stream_lose(&stream);
    }
}

/* The next byte, of those that waited first; -1 if there is none. */
static int next_byte(void)
{
    if (held_bytes == 0) {
        return uart->read();
    }
    const int byte = held[0];

    held[0] = held[1];
    held_bytes--;
    return byte;
}

void console_poll(void)
{
    if (step()) {
        return;
    }
    if (maybe) {
        lines_push(held[0]);
        maybe = 0;
    }
    const int byte = next_byte();

    if (byte < 0) {
        (void)poll_radio();
        return;
    }
    console_heard = hal.clock->ticks();
    switch (smp_serial_push(&serial, (uint8_t)byte)) {
    case SMP_SERIAL_OTHER:
    case SMP_SERIAL_MAYBE:
        lines_push(byte);
        break;
    case SMP_SERIAL_BEGIN:
        lose_stream();
        lines_clear(); /* it was cut off, or is what MAYBE left */
        break;
    case SMP_SERIAL_PACKET:
        start_request();
        break;
    case SMP_SERIAL_TAKEN:
    default:
        break;
    }
}

/* Bytes of the console up to one that is not SMP's, or to a whole packet. */
static void poll_console_smp(void)
{
    while (held_bytes == 0 && !smp_is_busy(&server)) {
        const int byte = uart->read();

        if (byte < 0) {
            return;
        }
        console_heard = hal.clock->ticks();
        const enum smp_serial_event event = smp_serial_push(&serial, (uint8_t)byte);

        held[maybe] = (uint8_t)byte;
        if (event == SMP_SERIAL_PACKET) {
            start_request();
        } else if (event == SMP_SERIAL_BEGIN) {
            lose_stream();
        } else if (event == SMP_SERIAL_OTHER) {
            held_bytes = (uint8_t)(maybe + 1);
        }
        maybe = event == SMP_SERIAL_MAYBE;
        if (maybe) {
            held[0] = (uint8_t)byte;
        }
    }
}

void console_poll_smp(void)
{
    if (step()) {
        return;
    }
    poll_console_smp();
    while (!smp_is_busy(&server) && poll_radio()) {
    }
}
