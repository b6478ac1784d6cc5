/* The chip that a process of the build machine is: functions instead of registers.
 * SPDX-License-Identifier: Apache-2.0
 *
 * host/tinyseal/virtual/chip.c puts this struct at BOARD_UART_BASE before it enters the
 * bootloader. Its flash keeps to the rules of NOR and wears out. */
#ifndef CHIP_H
#define CHIP_H

#include <stddef.h>
#include <stdint.h>

enum chip_line { CHIP_CONSOLE = 0, CHIP_RADIO = 1, CHIP_LINES = 2 };

struct chip {
    /* The next byte that came in, or -1. A firmware that does nothing but ask is put to sleep
     * for a few milliseconds, or until a byte comes: a hundred chips share a processor. */
    int (*receive)(enum chip_line line);

    /* As a UART: what nobody listens to is lost. */
    void (*send)(enum chip_line line, const void *bytes, size_t len);

    uint64_t (*nanoseconds)(void); /* since the process started */

    /* Enters the bootloader afresh. RAM stays as it is. */
    void (*reset)(void) __attribute__((noreturn));

    size_t (*id)(uint8_t *id, size_t cap); /* as hal_id's read */

    /* Within the flash and in whole units, as flash.h says; -1 where the unit is not erased, or
     * worn out. */
    void (*read)(uint32_t address, void *bytes, uint32_t len);
    int (*program)(uint32_t address, const void *bytes, uint32_t len);
    int (*erase)(uint32_t address);

    /* As hal_otp's. */
    int32_t (*burnt)(void);
    int (*burn)(void);

    /* Set by the firmware: called where a processor would trap. */
    void (*on_fault)(uint32_t pc, uint32_t address) __attribute__((noreturn));
};

#endif
