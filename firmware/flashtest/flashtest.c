/* A firmware of its own that does to a board's flash what it is told over the console: for tests
 * and for `tinyseal torture kill`. Never part of a product. SPDX-License-Identifier: Apache-2.0
 *
 * Lines as the application's: `ok ...`, or `err CODE` with the number of flash.h, nv_counter.h or
 * nv_kv.h, its sign dropped; ECOMMAND and EARGUMENT are status.h's. Numbers are decimal, bytes
 * hexadecimal.
 *
 *   echo TEXT               ok TEXT
 *   geometry                ok BYTES ERASE PROGRAM
 *   read ADDRESS LEN        ok HEX
 *   program ADDRESS HEX     ok
 *   erase ADDRESS           ok
 *   format VALUE            ok; starts the counter
 *   mount                   ok COUNTER KV; finds the counter and the value of key 1, - if none
 *   headroom                ok COUNTS
 *   set VALUE               ok; sets key 1, which is stored VALUE_COPIES times in a row
 *   step                    ok COUNTER; counts one
 *   work ROUNDS             a line `c COUNTER` after each step and `k KV` after each set; ok
 *   reset                   ok; restarts the board
 */
#include <string.h>

#include "board_config.h"
#include "hal.h"
#include "line.h"
#include "nv_counter.h"
#include "nv_kv.h"
#include "out.h"
#include "status.h"

#define MAX_BYTES 128u
#define KEY 1u
#define VALUE_COPIES 8u

int main(void);

static struct nv_counter counter;
static struct nv_kv kv;
static struct line line;

static void answer(int err)
{
    if (err) {
        out_text("err ");
        out_u64((uint64_t)-(int64_t)err);
        out_end();
    }
}

static void ok_number(uint32_t number)
{
    out_text("ok ");
    out_u64(number);
    out_end();
}

static void ok(void)
{
    out_text("ok");
    out_end();
}

static int kv_set(uint32_t value)
{
    uint32_t copies[VALUE_COPIES];

    for (unsigned i = 0; i < VALUE_COPIES; i++) {
        copies[i] = value;
    }
    return nv_kv_set(&kv, KEY, copies, sizeof copies);
}

/* FLASH_EIO for a value that is no row of copies: half of something. */
static int kv_get(uint32_t *value, int *is_there)
{
    uint32_t copies[VALUE_COPIES];
    uint32_t len;
    const int err = nv_kv_get(&kv, KEY, copies, sizeof copies, &len);

    *is_there = !err && len != NV_KV_ABSENT;
    if (err || !*is_there) {
        return err;
    }
    for (unsigned i = 0; i < VALUE_COPIES; i++) {
        if (copies[i] != copies[0]) {
            return FLASH_EIO;
        }
    }
    *value = copies[0];
    return len == sizeof copies ? 0 : FLASH_EIO;
}

static void use_areas(void)
{
    counter = (struct nv_counter){
        .area = { hal.flash, BOARD_COUNTER_QUERIES_OFFSET, BOARD_COUNTER_QUERIES_BYTES },
        .endurance_cycles = BOARD_FLASH_ENDURANCE_CYCLES,
    };
    kv = (struct nv_kv){ .area = { hal.flash, BOARD_STORAGE_OFFSET, BOARD_STORAGE_BYTES } };
}

static int serve_mount(char *rest)
{
    uint32_t value = 0;
    int is_there = 0;

    (void)rest;
    use_areas();
    int err = nv_counter_mount(&counter);

    if (!err) {
        err = nv_kv_mount(&kv);
    }
    if (!err) {
        err = kv_get(&value, &is_there);
    }
    if (err) {
        return err;
    }
    out_text("ok ");
    out_u64(nv_counter_value(&counter));
    out_text(" ");
    if (is_there) {
        out_u64(value);
    } else {
        out_text("-");
    }
    out_end();
    return 0;
}

static int serve_format(char *rest)
{
    unsigned value;
    int err = line_number(&rest, &value);

    if (err) {
        return err;
    }
    use_areas();
    err = nv_counter_format(&counter, value);
    if (!err) {
        ok();
    }
    return err;
}

static int serve_step(char *rest)
{
    (void)rest;
    const int err = nv_counter_advance(&counter, 1);

    if (!err) {
        ok_number(nv_counter_value(&counter));
    }
    return err;
}

static int serve_set(char *rest)
{
    unsigned value;
    int err = line_number(&rest, &value);

    if (!err) {
        err = kv_set(value);
    }
    if (!err) {
        ok();
    }
    return err;
}

static int serve_headroom(char *rest)
{
    (void)rest;
    ok_number(nv_counter_headroom(&counter));
    return 0;
}

static int serve_work(char *rest)
{
    unsigned rounds;
    int err = line_number(&rest, &rounds);

    for (; !err && rounds > 0; rounds--) {
        err = nv_counter_advance(&counter, 1);
        if (err) {
            break;
        }
        out_text("c ");
        out_u64(nv_counter_value(&counter));
        out_end();
        err = kv_set(nv_counter_value(&counter));
        if (err) {
            break;
        }
        out_text("k ");
        out_u64(nv_counter_value(&counter));
        out_end();
    }
    if (!err) {
        ok();
    }
    return err;
}

static int serve_geometry(char *rest)
{
    (void)rest;
    out_text("ok ");
    out_u64(hal.flash->bytes);
    out_text(" ");
    out_u64(hal.flash->erase_bytes);
    out_text(" ");
    out_u64(hal.flash->program_bytes);
    out_end();
    return 0;
}

static int serve_read(char *rest)
{
    uint8_t bytes[MAX_BYTES];
    unsigned address, len;
    int err = line_number(&rest, &address);

    if (!err) {
        err = line_number(&rest, &len);
    }
    if (!err && len > MAX_BYTES) {
        err = STATUS_EARGUMENT;
    }
    if (!err) {
        err = hal.flash->read(address, bytes, len);
    }
    if (err) {
        return err;
    }
    out_text("ok ");
    for (unsigned i = 0; i < len; i++) {
        out_hex(bytes[i], 2);
    }
    out_end();
    return 0;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1);
}

static int serve_program(char *rest)
{
    uint8_t bytes[MAX_BYTES];
    uint32_t len = 0;
    unsigned address;
    int err = line_number(&rest, &address);
    const char *word = err ? 0 : line_word(&rest);

    if (!word) {
        return STATUS_EARGUMENT;
    }
    for (; word[0] != '\0' && word[1] != '\0' && len < MAX_BYTES; word += 2) {
        if (digit(word[0]) < 0 || digit(word[1]) < 0) {
            return STATUS_EARGUMENT;
        }
        bytes[len++] = (uint8_t)(16 * digit(word[0]) + digit(word[1]));
    }
    if (*word != '\0') {
        return STATUS_EARGUMENT;
    }
    err = hal.flash->program(address, bytes, len);
    if (!err) {
        ok();
    }
    return err;
}

static int serve_erase(char *rest)
{
    unsigned address;
    int err = line_number(&rest, &address);

    if (!err) {
        err = hal.flash->erase(address);
    }
    if (!err) {
        ok();
    }
    return err;
}

static int serve_echo(char *rest)
{
    out_text("ok ");
    out_text(rest);
    out_end();
    return 0;
}

static int serve_reset(char *rest)
{
    (void)rest;
    ok();
    hal.reset->now(HAL_RESET_REQUESTED);
    return 0;
}

static const struct {
    const char *name;
    int (*serve)(char *rest);
} commands[] = {
    { "echo", serve_echo },         { "geometry", serve_geometry }, { "read", serve_read },
    { "program", serve_program },   { "erase", serve_erase },       { "format", serve_format },
    { "mount", serve_mount },       { "headroom", serve_headroom }, { "set", serve_set },
    { "step", serve_step },         { "work", serve_work },         { "reset", serve_reset },
};

static void serve(char *text)
{
    char *rest = text;
    const char *word = line_word(&rest);

    if (!word) {
        return;
    }
    for (unsigned i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(word, commands[i].name) == 0) {
            answer(commands[i].serve(rest));
            return;
        }
    }
    answer(STATUS_ECOMMAND);
}

int main(void)
{
    use_areas();
    out_text("m-ready");
    out_end();
    for (;;) {
        const int byte = hal.uart->read();

        (void)hal.clock->ticks(); /* feeds a watchdog */
        if (byte < 0) {
            continue;
        }
        if (line_push(&line, byte)) {
            if (line.fault) {
                answer(line.fault);
            } else {
                serve(line.text);
            }
            line_clear(&line);
        }
    }
}
