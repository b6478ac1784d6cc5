/* The serial protocol of MLPerf Tiny's runner. SPDX-License-Identifier: Apache-2.0 */
#include "mlperf.h"

#include <string.h>

#include "board_config.h"
#include "codec.h"
#include "hal.h"
#include "line.h"
#include "model.h"
#include "out.h"
#include "status.h"

#define PRINT_COLUMNS 8
#define DEFAULT_WARMUP 10

/* What the benchmark calls each of its models, by the first word of the model's name; what it
 * sends for it, and wants to hear. Other models get their inputs as they are, and tell their
 * outputs. */
struct benchmark {
    const char *word;
    const char *id;
    enum model_encoding encoding;
    int scores_by_error; /* the result is the mean squared error of output against input */
};

static const struct benchmark benchmarks[] = {
    { "kws", "kws01", MODEL_RAW, 0 },
    { "ic", "ic01", MODEL_U8, 0 },
    { "vww", "vww01", MODEL_U8, 0 },
    { "ad", "ad01", MODEL_F32, 1 },
};

/* Null for a model that is none of the benchmark's. */
static const struct benchmark *benchmark(void)
{
    const char *const name = model_capsule()->name;
    const size_t len = strcspn(name, "_");

    for (size_t i = 0; i < sizeof benchmarks / sizeof benchmarks[0]; i++) {
        const char *const word = benchmarks[i].word;

        if (strlen(word) == len && strncmp(word, name, len) == 0) {
            return &benchmarks[i];
        }
    }
    return 0;
}

static void out_error(const char *what, const char *which)
{
    out_text("e-[");
    out_text(what);
    out_name(which);
    out_text("]\r\n");
}

static void out_number_line(const char *prefix, uint64_t number, const char *suffix)
{
    out_text(prefix);
    out_u64(number);
    out_text(suffix);
    out_end();
}

static void out_timestamp(void)
{
    const uint64_t ticks = hal.clock->ticks();
    const uint32_t hz = hal.clock->hz;

    /* Whole seconds apart, so that the product does not wrap. The runner reads 32 bits. */
    out_number_line("m-lap-us-",
                    (uint32_t)(ticks / hz * 1000000u + ticks % hz * 1000000u / hz), "");
}

static float mean_squared_error(void)
{
    uint32_t len;
    const uint8_t *reals = model_staged(&len);
    const uint32_t elements = len / 4;
    float sum = 0.0f;

    for (uint32_t i = 0; i < elements; i++) {
        float real;

        memcpy(&real, reals + 4 * i, sizeof real);
        const float difference = model_real_output(0, i) - real;

        sum += difference * difference;
    }
    return sum / (float)elements;
}

static void serve_results(char *arguments)
{
    (void)arguments;
    const struct capsule *const capsule = model_capsule();
    const uint32_t elements =
        capsule->output_count > 0 ? model_elements(&capsule->outputs[0]) : 0;
    const struct benchmark *const of = benchmark();
    uint32_t staged;

    (void)model_staged(&staged);
    out_text("m-results-[");
    if (of && of->scores_by_error && staged == 4 * elements) {
        out_float3(mean_squared_error());
    } else {
        for (uint32_t i = 0; i < elements; i++) {
            out_text(i > 0 ? "," : "");
            out_float3(model_real_output(0, i));
        }
    }
    out_text("]\r\n");
}

static void serve_name(char *arguments)
{
    (void)arguments;
    out_text("m-name-dut-[tinyseal " BOARD_NAME "]\r\n");
}

static void serve_profile(char *arguments)
{
    (void)arguments;
    const struct benchmark *const of = benchmark();

    out_text("m-profile-[tinyseal " FIRMWARE_VERSION "]\r\nm-model-[");
    out_name(of ? of->id : model_capsule()->name);
    out_text("]\r\n");
}

static void serve_timestamp(char *arguments)
{
    (void)arguments;
    out_timestamp();
}

static void serve_load(char *arguments)
{
    unsigned len;
    int err = line_number(&arguments, &len);

    if (err) {
        out_error("Command 'db load' requires the # of bytes", "");
        return;
    }
    const struct benchmark *const of = benchmark();

    err = model_expect(of ? of->encoding : MODEL_RAW, len);
    if (err) { /* the text protocol loads tensors as they are; so may this one */
        err = model_expect(MODEL_RAW, len);
    }
    if (err) {
        out_error("db load: ", status_text(err));
        return;
    }
    out_number_line("m-[Expecting ", len, " bytes]");
}

static void serve_print(void)
{
    uint32_t len;
    const uint8_t *bytes = model_staged(&len);

    for (uint32_t i = 0; i < len; i++) {
        out_text(i % PRINT_COLUMNS == 0 ? "m-buffer-" : "-");
        out_hex(bytes[i], 2);
        if (i % PRINT_COLUMNS == PRINT_COLUMNS - 1 || i == len - 1) {
            out_end();
        }
    }
}

static void serve_hex(const char *digits)
{
    if (strlen(digits) % 2 != 0) {
        out_error("Insufficient number of hex digits", "");
        return;
    }
    for (; *digits != '\0'; digits += 2) {
        const int high = codec_hex_digit(digits[0]);
        const int low = codec_hex_digit(digits[1]);

        if (high < 0 || low < 0) {
            out_error("Invalid hex digits", "");
            return;
        }
        const int32_t missing = model_append((uint8_t)(high * 16 + low));

        if (missing < 0) {
            out_error("db: ", status_text((int)missing));
            return;
        }
        if (missing == 0) {
            out_text("m-load-done\r\n");
            return;
        }
    }
}

static void serve_db(char *arguments)
{
    const char *const word = line_word(&arguments);

    if (!word) {
        out_error("Command 'db' requires a subcommand", "");
    } else if (strcmp(word, "load") == 0) {
        serve_load(arguments);
    } else if (strcmp(word, "print") == 0) {
        serve_print();
    } else {
        serve_hex(word);
    }
}

static int run(unsigned n)
{
    uint64_t ticks;

    return n > 0 ? model_infer(n, &ticks) : STATUS_OK;
}

static void serve_infer(char *arguments)
{
    unsigned n = 1, warmup = DEFAULT_WARMUP;

    if (*arguments != '\0' && (line_number(&arguments, &n) || n == 0)) {
        out_error("Inference iterations must be >0", "");
        return;
    }
    if (*arguments != '\0' && line_number(&arguments, &warmup)) {
        out_error("Inference warmup must be >=0", "");
        return;
    }
    out_number_line("m-warmup-start-", warmup, "");
    int err = run(warmup);

    if (!err) {
        out_text("m-warmup-done\r\n");
        out_number_line("m-infer-start-", n, "");
        out_timestamp();
        err = run(n);
    }
    if (err) {
        out_error("infer: ", status_text(err));
        return;
    }
    out_timestamp();
    out_text("m-infer-done\r\n");
    serve_results(arguments);
}

static void serve_help(char *arguments)
{
    (void)arguments;
    out_text("tinyseal " FIRMWARE_VERSION "\r\n"
             "name, profile, timestamp, help, results\r\n"
             "db load N, db HEX, db print\r\n"
             "infer [N [WARMUP]]\r\n");
}

static const struct {
    const char *name;
    void (*serve)(char *arguments);
} commands[] = {
    { "name", serve_name },   { "profile", serve_profile }, { "timestamp", serve_timestamp },
    { "db", serve_db },       { "infer", serve_infer },     { "results", serve_results },
    { "help", serve_help },
};

static void serve_command(char *line)
{
    const char *const name = line_word(&line);

    if (!name) {
        return; /* a lone `%` flushes the line */
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(name, commands[i].name) == 0) {
            commands[i].serve(line);
            return;
        }
    }
    out_error("Unknown command: ", name);
}

void mlperf_serve(char *line, int fault)
{
    if (fault) {
        out_error("", status_text(fault));
    } else {
        serve_command(line);
    }
    out_text("m-ready\r\n");
}

void mlperf_greet(void)
{
    out_text("m-timestamp-mode-performance\r\n");
    out_timestamp();
    out_text("m-init-done\r\nm-ready\r\n");
}
