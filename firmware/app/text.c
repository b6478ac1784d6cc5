/* tinyseal's own serial protocol. SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <string.h>

#include "board_config.h"
#include "capsule.h"
#include "codec.h"
#include "hal.h"
#include "images.h"
#include "line.h"
#include "model.h"
#include "nv_crc.h"
#include "out.h"
#include "stack.h"
#include "status.h"

#define CHUNK_BYTES 180 /* of one `read` or `load`: 240 characters of base64 */

_Static_assert(CODEC_BASE64_CHARS(CHUNK_BYTES) + 40 < LINE_BYTES, "a load fits a line");

struct command {
    const char *name;
    const char *usage;
    int (*serve)(char *arguments); /* a status; STATUS_OK once it has answered */
};

static const char *const causes[] = { "power-on", "requested", "fault" };

static void out_pair(const char *key, uint32_t value)
{
    out_text(key);
    out_text(" ");
    out_u64(value);
    out_end();
}

static void out_tensor(const char *kind, uint32_t index, const struct capsule_tensor *tensor)
{
    static const char *const dtypes[] = {
        "?", "int8", "int16", "int32", "uint8", "bool", "float32", "int64",
    };
    uint32_t scale;

    memcpy(&scale, &tensor->scale, sizeof scale);
    out_text(kind);
    out_text(" ");
    out_u64(index);
    out_text(" ");
    out_text(dtypes[tensor->dtype < sizeof dtypes / sizeof dtypes[0] ? tensor->dtype : 0]);
    out_text(" ");
    for (uint32_t i = 0; i < tensor->rank; i++) {
        out_text(i > 0 ? "x" : "");
        out_u64(tensor->dims[i]);
    }
    out_text(tensor->rank > 0 ? " " : "- ");
    out_hex(scale, 8);
    out_text(" ");
    out_i32(tensor->zero_point);
    out_text(" ");
    out_u64(tensor->bytes);
    out_text(" ");
    out_name(tensor->name);
    out_end();
}

static int done(void)
{
    out_text("ok");
    out_end();
    return STATUS_OK;
}

static int end_of(char *arguments)
{
    return line_word(&arguments) ? STATUS_EARGUMENT : STATUS_OK;
}

static int serve_echo(char *arguments)
{
    out_text("ok ");
    out_text(arguments);
    out_end();
    return STATUS_OK;
}

static void out_id(void)
{
    uint8_t id[16];
    const size_t len = hal.id->read(id, sizeof id);

    out_text("id ");
    for (size_t i = 0; i < len; i++) {
        out_hex(id[i], 2);
    }
    out_text(len > 0 ? "" : "-");
    out_end();
}

static int serve_info(char *arguments)
{
    const struct capsule *const capsule = model_capsule();
    const int err = end_of(arguments);

    if (err) {
        return err;
    }
    out_text("board " BOARD_NAME "\r\nfirmware " FIRMWARE_VERSION "\r\nmodel ");
    out_name(capsule->name);
    out_text("\r\nmodel_id ");
    for (size_t i = 0; i < sizeof capsule->model_id; i++) {
        out_hex(capsule->model_id[i], 2);
    }
    out_text("\r\nkernels ");
    out_name(capsule->kernels);
    out_text("\r\nreset ");
    out_text(causes[hal.reset->cause()]);
    out_end();
    out_id();
    images_tell();
    out_pair("abi", capsule->abi);
    out_pair("clock_hz", hal.clock->hz);
    out_pair("macs", capsule->macs);
    out_pair("layers", capsule->layer_count);
    out_pair("arena_0", capsule->arena_bytes[0]);
    out_pair("arena_1", capsule->arena_bytes[1]);
    out_pair("staging", model_staging_bytes());
    out_pair("stack", stack_bytes());
    out_pair("stack_used", stack_high_water());
    for (uint32_t i = 0; i < capsule->input_count; i++) {
        out_tensor("input", i, &capsule->inputs[i]);
    }
    for (uint32_t i = 0; i < capsule->output_count; i++) {
        out_tensor("output", i, &capsule->outputs[i]);
    }
    return done();
}

static int serve_load(char *arguments)
{
    unsigned index, offset;
    uint32_t crc = 0;
    int err = line_number(&arguments, &index);

    if (err) {
        return err;
    }
    err = line_number(&arguments, &offset);
    if (err) {
        return err;
    }
    char *const data = line_word(&arguments);
    const char *const sum = line_word(&arguments);

    if (!data || !sum || strlen(sum) != 8 || line_word(&arguments)) {
        return STATUS_EARGUMENT;
    }
    for (size_t i = 0; i < 8; i++) {
        const int digit = codec_hex_digit(sum[i]);

        if (digit < 0) {
            return STATUS_EARGUMENT;
        }
        crc = (crc << 4) | (uint32_t)digit;
    }
    const int len = codec_base64_decode(data, strlen(data), (uint8_t *)data);

    if (len < 0) {
        return STATUS_EDATA;
    }
    if (nv_crc32(0, data, (size_t)len) != crc) {
        return STATUS_ECRC;
    }
    const int32_t loaded = model_load(index, offset, (const uint8_t *)data, (size_t)len);

    if (loaded < 0) {
        return (int)loaded;
    }
    out_text("ok ");
    out_u64((uint64_t)loaded);
    out_end();
    return STATUS_OK;
}

static int serve_infer(char *arguments)
{
    unsigned n = 1;
    uint64_t ticks;
    int err = *arguments == '\0' ? STATUS_OK : line_number(&arguments, &n);

    if (err || n == 0 || end_of(arguments)) {
        return STATUS_EARGUMENT;
    }
    err = model_infer(n, &ticks);
    if (err) {
        return err;
    }
    out_text("ok ");
    out_u64(n);
    out_text(" ");
    out_u64(ticks);
    out_end();
    return STATUS_OK;
}

static void out_lap(uint32_t layer, uint64_t ticks)
{
    out_text("layer ");
    out_u64(layer);
    out_text(" ");
    out_u64(ticks);
    out_end();
}

static int serve_time(char *arguments)
{
    uint64_t ticks;
    int err = end_of(arguments);

    if (!err) {
        err = model_time(out_lap, &ticks);
    }
    if (err) {
        return err;
    }
    out_text("ok ");
    out_u64(ticks);
    out_end();
    return STATUS_OK;
}

static int serve_read(char *arguments)
{
    unsigned index, offset, len;
    char text[CODEC_BASE64_CHARS(CHUNK_BYTES)];

    if (line_number(&arguments, &index) || line_number(&arguments, &offset) ||
        line_number(&arguments, &len) || end_of(arguments)) {
        return STATUS_EARGUMENT;
    }
    const uint8_t *bytes = model_output(index, offset, len);

    if (!bytes || len == 0 || len > CHUNK_BYTES) {
        return STATUS_ERANGE;
    }
    codec_base64_encode(bytes, len, text);
    out_text("ok ");
    out_chars(text, CODEC_BASE64_CHARS(len));
    out_text(" ");
    out_hex(nv_crc32(0, bytes, len), 8);
    out_end();
    return STATUS_OK;
}

static void out_names(const char *kind, const char *const *names, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        out_text(kind);
        out_text(" ");
        out_u64(i);
        out_text(" ");
        out_name(names[i]);
        out_end();
    }
}

static int serve_layers(char *arguments)
{
    const int err = end_of(arguments);

    if (err) {
        return err;
    }
    out_names("layer", model_capsule()->layers, model_capsule()->layer_count);
    return done();
}

static int serve_labels(char *arguments)
{
    const int err = end_of(arguments);

    if (err) {
        return err;
    }
    out_names("label", model_capsule()->labels, model_capsule()->label_count);
    return done();
}

static int serve_clear(char *arguments)
{
    const int err = end_of(arguments);

    if (err) {
        return err;
    }
    model_clear();
    return done();
}

static int serve_confirm(char *arguments)
{
    int err = end_of(arguments);

    if (err) {
        return err;
    }
    err = images_confirm();
    return err ? err : done();
}

static int serve_reset(char *arguments)
{
    const int err = end_of(arguments);

    if (err) {
        return err;
    }
    done();
    hal.reset->now(HAL_RESET_REQUESTED);
}

static int serve_help(char *arguments);

static const struct command commands[] = {
    { "help", "", serve_help },
    { "echo", "TEXT", serve_echo },
    { "info", "", serve_info },
    { "layers", "", serve_layers },
    { "labels", "", serve_labels },
    { "load", "INPUT OFFSET BASE64 CRC32", serve_load },
    { "infer", "[TIMES]", serve_infer },
    { "time", "", serve_time },
    { "read", "OUTPUT OFFSET BYTES", serve_read },
    { "clear", "", serve_clear },
    { "confirm", "", serve_confirm },
    { "reset", "", serve_reset },
};

#define COMMANDS (sizeof commands / sizeof commands[0])

static int serve_help(char *arguments)
{
    (void)arguments;
    for (size_t i = 0; i < COMMANDS; i++) {
        out_text("help ");
        out_text(commands[i].name);
        out_text(" ");
        out_text(commands[i].usage);
        out_end();
    }
    return done();
}

void text_refuse(int status)
{
    out_text("err ");
    out_i32(-status);
    out_text(" ");
    out_text(status_text(status));
    out_end();
}

void text_serve(char *line)
{
    const char *const name = line_word(&line);
    int err = STATUS_ECOMMAND;

    if (!name) {
        return; /* an empty line, as terminals and frightened hosts send */
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(name, commands[i].name) == 0) {
            err = commands[i].serve(line);
            break;
        }
    }
    if (err) {
        text_refuse(err);
    }
}

void text_greet(void)
{
    out_end(); /* whatever the last boot left on the line */
    out_text("tinyseal " FIRMWARE_VERSION " " BOARD_NAME " ");
    out_name(model_capsule()->name);
    out_text(" ");
    out_text(causes[hal.reset->cause()]);
    out_end();
}
