/* A NOR flash in host memory, stricter than silicon, whose power can be cut anywhere.
 * SPDX-License-Identifier: Apache-2.0
 *
 * It stops the run on what a real chip would let pass or spoil silently: a second program of a
 * unit without erase, a program of a torn unit, misalignment, a byte out of range. A power cut
 * lands before, within or after an operation; bytes it tears read differently at every look,
 * between what they were and what they were to become, until they are erased. */
#ifndef FLASH_SIM_H
#define FLASH_SIM_H

#include <stdint.h>

#include "flash.h"

enum flash_sim_result {
    FLASH_SIM_DONE = 0, /* the scenario ran to its end */
    FLASH_SIM_CUT = 1,  /* power was cut where asked */
};

#define FLASH_SIM_NO_CUT UINT32_MAX

/* The flash under test; geometry as configured. */
extern struct hal_flash flash_sim;

/* Allocates and erases. Geometry must be sound; exits otherwise. */
void flash_sim_configure(uint32_t bytes, uint32_t erase_bytes, uint32_t program_bytes);

/* Every byte erased, no cell torn. */
void flash_sim_erase_all(void);

/* What torn cells read follows from this. */
void flash_sim_seed(uint64_t seed);

/* Runs `scenario` up to operation `operation` (programs and erases, counted from 0) and cuts the
 * power there; FLASH_SIM_NO_CUT: never. `place` 0 is before it; of a program of len bytes, place
 * i tears byte i - 1 with those before it done, and len + 1 is after it; of an erase, 1 is within
 * and 2 after it. A place past the last is the last. The scenario must own nothing on the heap:
 * a cut leaves it by longjmp. */
enum flash_sim_result flash_sim_run(uint32_t operation, uint32_t place,
                                    void (*scenario)(void *context), void *context);

/* Of the last run: operations begun, and how many places one of them has; 0 past the last. */
uint32_t flash_sim_operations(void);
uint32_t flash_sim_places(uint32_t operation);

/* Keeps and brings back the whole flash, torn cells included. There is one place to keep it. */
void flash_sim_save(void);
void flash_sim_restore(void);

#endif
