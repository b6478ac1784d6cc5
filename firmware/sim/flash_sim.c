/* A NOR flash in host memory whose power can be cut anywhere. SPDX-License-Identifier: Apache-2.0 */
#include "flash_sim.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_OPERATIONS 0x10000u /* of one run, that can be cut */

enum cell { CELL_ERASED, CELL_PROGRAMMED, CELL_TORN };

static uint8_t *cells;  /* a torn byte reads any mix of these bits ... */
static uint8_t *floors; /* ... that has all of these: surely 1 before and after */
static uint8_t *states;
static uint8_t *saved;
/* Of each erase unit: */
static uint8_t *changed;  /* it is not as it was saved */
static uint8_t *has_torn; /* some cell is: reads look at states */
static uint8_t *had_torn; /* the same when it was saved */
static uint64_t noise = 1;
static jmp_buf power;
static uint32_t operations;
static uint32_t places_of[MAX_OPERATIONS]; /* of the last run's operations */
static uint32_t cut_operation = FLASH_SIM_NO_CUT;
static uint32_t cut_place;

static void stop(const char *what, uint32_t address)
{
    fprintf(stderr, "flash_sim: %s at 0x%x\n", what, (unsigned)address);
    exit(3);
}

/* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators", 2016. */
static uint8_t random_byte(void)
{
    noise ^= noise >> 12;
    noise ^= noise << 25;
    noise ^= noise >> 27;
    return (uint8_t)((noise * 0x2545f4914f6cdd1dull) >> 56);
}

/* Bits that the program was to leave as they were are not disturbed. */
static void tear_program(uint32_t address, uint8_t target)
{
    if (target != cells[address]) {
        has_torn[address / flash_sim.erase_bytes] = 1;
        states[address] = CELL_TORN;
        floors[address] = target;
    }
}

/* Chips write zeros before they erase: a byte may read anything. */
static void tear_erase(uint32_t address)
{
    has_torn[address / flash_sim.erase_bytes] = 1;
    memset(states + address, CELL_TORN, flash_sim.erase_bytes);
    memset(cells + address, 0xff, flash_sim.erase_bytes);
    memset(floors + address, 0, flash_sim.erase_bytes);
}

static void change(uint32_t address, uint32_t len)
{
    for (uint32_t i = address / flash_sim.erase_bytes;
         len != 0 && i <= (address + len - 1) / flash_sim.erase_bytes; i++) {
        changed[i] = 1;
    }
}

static void check_range(const char *what, uint32_t address, uint32_t len)
{
    if (address > flash_sim.bytes || len > flash_sim.bytes - address) {
        stop(what, address);
    }
}

/* Asked before every operation, which has `places` to cut it at: the one to cut at, if any. */
static uint32_t begin(uint32_t places)
{
    const uint32_t operation = operations++;

    if (operation < MAX_OPERATIONS) {
        places_of[operation] = places;
    }
    if (operation != cut_operation) {
        return FLASH_SIM_NO_CUT;
    }
    return cut_place < places ? cut_place : places - 1;
}

static void cut_if(int here)
{
    if (here) {
        longjmp(power, 1);
    }
}

static int may_be_torn(uint32_t address, uint32_t len)
{
    for (uint32_t i = address / flash_sim.erase_bytes;
         len != 0 && i <= (address + len - 1) / flash_sim.erase_bytes; i++) {
        if (has_torn[i]) {
            return 1;
        }
    }
    return 0;
}

static int sim_read(uint32_t address, void *bytes, uint32_t len)
{
    uint8_t *p = bytes;

    check_range("read out of range", address, len);
    if (!may_be_torn(address, len)) {
        memcpy(p, cells + address, len);
        return 0;
    }
    for (uint32_t i = 0; i < len; i++) {
        const uint32_t at = address + i;

        p[i] = states[at] == CELL_TORN ? (uint8_t)(floors[at] | (cells[at] & random_byte()))
                                       : cells[at];
    }
    return 0;
}

static int sim_program(uint32_t address, const void *bytes, uint32_t len)
{
    const uint8_t *p = bytes;

    check_range("program out of range", address, len);
    if (address % flash_sim.program_bytes != 0 || len % flash_sim.program_bytes != 0) {
        stop("misaligned program", address);
    }
    for (uint32_t i = 0; i < len; i++) {
        if (states[address + i] != CELL_ERASED) {
            stop("program over a byte that is not erased", address + i);
        }
    }
    const uint32_t place = begin(len + 2);
    const uint32_t done = place > 0 && place <= len ? place - 1 : len;

    cut_if(place == 0);
    change(address, len);
    memcpy(cells + address, p, done);
    memset(states + address, CELL_PROGRAMMED, done);
    if (done < len) {
        tear_program(address + done, p[done]);
        cut_if(1);
    }
    cut_if(place == len + 1);
    return 0;
}

static int sim_erase(uint32_t address)
{
    check_range("erase out of range", address, flash_sim.erase_bytes);
    if (address % flash_sim.erase_bytes != 0) {
        stop("misaligned erase", address);
    }
    const uint32_t place = begin(3);

    cut_if(place == 0);
    change(address, flash_sim.erase_bytes);
    if (place == 1) {
        tear_erase(address);
    } else {
        memset(cells + address, 0xff, flash_sim.erase_bytes);
        memset(states + address, CELL_ERASED, flash_sim.erase_bytes);
        has_torn[address / flash_sim.erase_bytes] = 0;
    }
    cut_if(place == 1 || place == 2);
    return 0;
}

struct hal_flash flash_sim = { .read = sim_read, .program = sim_program, .erase = sim_erase };

void flash_sim_configure(uint32_t bytes, uint32_t erase_bytes, uint32_t program_bytes)
{
    if (erase_bytes == 0 || program_bytes == 0 || bytes % erase_bytes != 0
        || erase_bytes % program_bytes != 0) {
        stop("impossible geometry", bytes);
    }
    flash_sim.bytes = bytes;
    flash_sim.erase_bytes = erase_bytes;
    flash_sim.program_bytes = program_bytes;
    free(cells);
    free(saved);
    free(changed); /* with the other two */
    cells = malloc(3 * (size_t)bytes);
    saved = malloc(3 * (size_t)bytes);
    changed = malloc(3 * (size_t)(bytes / erase_bytes));
    if (!cells || !saved || !changed) {
        stop("no memory", bytes);
    }
    floors = cells + bytes;
    states = floors + bytes;
    has_torn = changed + bytes / erase_bytes;
    had_torn = has_torn + bytes / erase_bytes;
    flash_sim_erase_all();
}

void flash_sim_erase_all(void)
{
    memset(cells, 0xff, 2 * (size_t)flash_sim.bytes);
    memset(states, CELL_ERASED, flash_sim.bytes);
    memset(changed, 1, flash_sim.bytes / flash_sim.erase_bytes);
    memset(has_torn, 0, flash_sim.bytes / flash_sim.erase_bytes);
}

void flash_sim_seed(uint64_t seed)
{
    noise = seed * 2 + 1;
}

enum flash_sim_result flash_sim_run(uint32_t operation, uint32_t place,
                                    void (*scenario)(void *context), void *context)
{
    operations = 0;
    cut_operation = operation;
    cut_place = place;
    if (setjmp(power)) {
        cut_operation = FLASH_SIM_NO_CUT;
        return FLASH_SIM_CUT;
    }
    scenario(context);
    cut_operation = FLASH_SIM_NO_CUT;
    return FLASH_SIM_DONE;
}

uint32_t flash_sim_operations(void)
{
    return operations;
}

uint32_t flash_sim_places(uint32_t operation)
{
    return operation < operations && operation < MAX_OPERATIONS ? places_of[operation] : 0;
}

/* Cells, floors and states of the units that changed. */
static void copy_changed(uint8_t *to, const uint8_t *from)
{
    const size_t unit = flash_sim.erase_bytes;

    for (size_t i = 0; i < flash_sim.bytes / unit; i++) {
        for (size_t plane = 0; changed[i] && plane < 3; plane++) {
            const size_t at = plane * flash_sim.bytes + i * unit;

            memcpy(to + at, from + at, unit);
        }
        changed[i] = 0;
    }
}

void flash_sim_save(void)
{
    copy_changed(saved, cells);
    memcpy(had_torn, has_torn, flash_sim.bytes / flash_sim.erase_bytes);
}

void flash_sim_restore(void)
{
    copy_changed(cells, saved);
    memcpy(has_torn, had_torn, flash_sim.bytes / flash_sim.erase_bytes);
}
