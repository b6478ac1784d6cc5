/* SMP over a console: packets in lines of base64 among other text.
 * SPDX-License-Identifier: Apache-2.0 */
#include "smp_serial.h"

#include "codec.h"

#define FIRST_0 0x06u
#define FIRST_1 0x09u
#define NEXT_0 0x04u
#define NEXT_1 0x14u

#define LENGTH_BYTES 2u
#define CRC_BYTES 2u
#define LINE_CHARS 124u /* of base64; with the two bytes before and the line feed 127 */

/* Where in a line the next byte is. */
enum state {
    OUTSIDE = 0,
    AFTER_FIRST_0,
    AFTER_NEXT_0,
    INSIDE,
};

static void give_up(struct smp_serial *s)
{
    if (!s->is_broken) {
        s->bad++;
    }
    s->is_broken = 1;
}

static uint32_t load16_be(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

/* Bytes of the frame; at most `cap`. 0 while its length has not come. */
static uint32_t frame_bytes(const struct smp_serial *s)
{
    return s->len < LENGTH_BYTES ? 0 : LENGTH_BYTES + load16_be(s->frame);
}

static void put(struct smp_serial *s, uint8_t byte)
{
    const uint32_t wanted = frame_bytes(s);

    if (s->len == s->cap || (wanted != 0 && s->len == wanted)) {
        give_up(s);
        return;
    }
    s->frame[s->len++] = byte;
    if (s->len == LENGTH_BYTES
        && (frame_bytes(s) > s->cap || load16_be(s->frame) < CRC_BYTES)) {
        give_up(s);
    }
}

static void decode(struct smp_serial *s, uint8_t byte)
{
    const int value = byte == '=' ? 0 : codec_base64_value((char)byte);

    if (value < 0 || (s->padding > 0 && byte != '=') || (byte == '=' && s->chars < 2)) {
        give_up(s);
        return;
    }
    s->padding = (uint8_t)(s->padding + (byte == '='));
    s->group = s->group << 6 | (uint32_t)value;
    if (++s->chars < 4) {
        return;
    }
    for (uint32_t i = 0; !s->is_broken && i < 3u - s->padding; i++) {
        put(s, (uint8_t)(s->group >> (16 - 8 * i)));
    }
    s->chars = 0;
    s->group = 0; /* padding stays: nothing may follow it but the end */
}

static enum smp_serial_event end_line(struct smp_serial *s)
{
    s->state = OUTSIDE;
    if (s->chars != 0) {
        give_up(s); /* four characters never part */
    }
    if (s->is_broken || s->len == 0 || s->len != frame_bytes(s)) {
        return SMP_SERIAL_TAKEN;
    }
    s->is_broken = 1; /* whole: a further line does not belong to it */
    if (codec_crc16(0, s->frame + LENGTH_BYTES, s->len - LENGTH_BYTES) != 0) {
        s->bad++;
        return SMP_SERIAL_TAKEN;
    }
    return SMP_SERIAL_PACKET;
}

static void start_line(struct smp_serial *s, int is_first)
{
    s->state = INSIDE;
    s->chars = 0;
    s->group = 0;
    if (is_first) {
        s->len = 0;
        s->padding = 0;
        s->is_broken = 0;
    } else if (s->len == 0) {
        give_up(s); /* the first line was lost */
    }
}

enum smp_serial_event smp_serial_push(struct smp_serial *s, uint8_t byte)
{
    if (byte == FIRST_0 || byte == NEXT_0) {
        if (s->state == INSIDE) {
            give_up(s); /* a line feed was lost */
        }
        s->state = byte == FIRST_0 ? AFTER_FIRST_0 : AFTER_NEXT_0;
        return SMP_SERIAL_MAYBE;
    }
    switch (s->state) {
    case AFTER_FIRST_0:
    case AFTER_NEXT_0:
        if (byte == (s->state == AFTER_FIRST_0 ? FIRST_1 : NEXT_1)) {
            start_line(s, s->state == AFTER_FIRST_0);
            return SMP_SERIAL_BEGIN;
        }
        s->state = OUTSIDE;
        return SMP_SERIAL_OTHER;
    case INSIDE:
        if (byte == '\n') {
            return end_line(s);
        }
        if (byte != '\r' && !s->is_broken) {
            decode(s, byte);
        }
        return SMP_SERIAL_TAKEN;
    case OUTSIDE:
    default:
        return SMP_SERIAL_OTHER;
    }
}

int smp_serial_is_open(const struct smp_serial *s)
{
    return !s->is_broken && (s->state == INSIDE || s->len > 0);
}

void smp_serial_drop(struct smp_serial *s)
{
    give_up(s);
}

uint8_t *smp_serial_packet(const struct smp_serial *s, uint32_t *bytes)
{
    *bytes = s->len - LENGTH_BYTES - CRC_BYTES;
    return s->frame + LENGTH_BYTES;
}

/* A line that is being written. */
struct line {
    char text[2 + LINE_CHARS + 1];
    uint32_t len;
    uint8_t group[3];
    uint32_t in_group;
    void (*write)(const void *bytes, size_t len);
};

static void open_line(struct line *line, uint8_t first, uint8_t second)
{
    line->text[0] = (char)first;
    line->text[1] = (char)second;
    line->len = 2;
}

static void close_line(struct line *line)
{
    line->text[line->len++] = '\n';
    line->write(line->text, line->len);
}

static void flush_group(struct line *line)
{
    if (line->len == 2 + LINE_CHARS) {
        close_line(line);
        open_line(line, NEXT_0, NEXT_1);
    }
    codec_base64_encode(line->group, line->in_group, line->text + line->len);
    line->len += 4;
    line->in_group = 0;
}

static void encode(struct line *line, const uint8_t *bytes, uint32_t len)
{
    for (; len > 0; len--) {
        line->group[line->in_group++] = *bytes++;
        if (line->in_group == sizeof line->group) {
            flush_group(line);
        }
    }
}

void smp_serial_write(const uint8_t *packet, uint32_t bytes,
                      void (*write)(const void *bytes, size_t len))
{
    struct line line = { .write = write };
    const uint16_t crc = codec_crc16(0, packet, bytes);
    const uint32_t length = bytes + CRC_BYTES;
    const uint8_t before[] = { (uint8_t)(length >> 8), (uint8_t)length };
    const uint8_t after[] = { (uint8_t)(crc >> 8), (uint8_t)crc };

    open_line(&line, FIRST_0, FIRST_1);
    encode(&line, before, sizeof before);
    encode(&line, packet, bytes);
    encode(&line, after, sizeof after);
    if (line.in_group > 0) {
        flush_group(&line);
    }
    close_line(&line);
}
