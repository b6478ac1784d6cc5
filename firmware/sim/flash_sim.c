/* A NOR flash in host memory whose power can be cut anywhere. SPDX-License-Identifier: Apache-2.0 */
#include "flash_sim.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum cell { CELL_ERASED, CELL_PROGRAMMED, CELL_TORN };

static uint8_t *cells;  /* a torn byte reads any mix of these bits ... */
static uint8_t *floors; /* ... that has all of these: surely 1 before and after */
static uint8_t *states;
static uint8_t *saved;
static uint64_t noise = 1;
static jmp_buf power;
static uint32_t operations;
static uint32_t places_of_cut;
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
        states[address] = CELL_TORN;
        floors[address] = target;
    }
}

/* Chips write zeros before they erase: a byte may read anything. */
static void tear_erase(uint32_t address)
{
    states[address] = CELL_TORN;
    cells[address] = 0xff;
    floors[address] = 0;
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
    if (operations++ != cut_operation) {
        return FLASH_SIM_NO_CUT;
    }
    places_of_cut = places;
    return cut_place < places ? cut_place : places - 1;
}

static void cut_if(int here)
{
    if (here) {
        longjmp(power, 1);
    }
}

static int sim_read(uint32_t address, void *bytes, uint32_t len)
{
    uint8_t *p = bytes;

    check_range("read out of range", address, len);
    if (!memchr(states + address, CELL_TORN, len)) {
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

    cut_if(place == 0);
    for (uint32_t i = 0; i < len; i++) {
        if (place == i + 1) {
            tear_program(address + i, p[i]);
            cut_if(1);
        }
        cells[address + i] = p[i];
        states[address + i] = CELL_PROGRAMMED;
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
    for (uint32_t i = 0; i < flash_sim.erase_bytes; i++) {
        if (place == 1) {
            tear_erase(address + i);
        } else {
            cells[address + i] = 0xff;
            states[address + i] = CELL_ERASED;
        }
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
    cells = malloc(3 * (size_t)bytes);
    saved = malloc(3 * (size_t)bytes);
    if (!cells || !saved) {
        stop("no memory", bytes);
    }
    floors = cells + bytes;
    states = floors + bytes;
    flash_sim_erase_all();
}

void flash_sim_erase_all(void)
{
    memset(cells, 0xff, 2 * (size_t)flash_sim.bytes);
    memset(states, CELL_ERASED, flash_sim.bytes);
}

void flash_sim_seed(uint64_t seed)
{
    noise = seed * 2 + 1;
}

enum flash_sim_result flash_sim_run(uint32_t operation, uint32_t place,
                                    void (*scenario)(void *context), void *context)
{
    operations = 0;
    places_of_cut = 0;
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

uint32_t flash_sim_places(void)
{
    return places_of_cut;
}

void flash_sim_save(void)
{
    memcpy(saved, cells, 3 * (size_t)flash_sim.bytes);
}

void flash_sim_restore(void)
{
    memcpy(cells, saved, 3 * (size_t)flash_sim.bytes);
}
