/* What the firmware asks of a chip: const structs of function pointers, one set a board.
 * SPDX-License-Identifier: Apache-2.0
 *
 * The start-up code calls hal_init() before main(); from then on `hal` is usable. Nothing here
 * is reentrant: one thread of control, plus interrupts that stay inside the chip's folder. */
#ifndef HAL_H
#define HAL_H

#include <stddef.h>
#include <stdint.h>

#include "flash.h"
#include "otp.h"

struct hal_uart {
    /* The next received byte, or -1 when there is none. Never waits. */
    int (*read)(void);

    /* Returns when the last byte has been handed to the transmitter. */
    void (*write)(const void *bytes, size_t len);
};

struct hal_clock {
    uint32_t hz;               /* ticks a second */

    /* Ticks since start-up; never goes back. A chip whose counter is 32 bits wide extends it
     * here, so it must be called at least once in 2^32 ticks: the main loop does. One whose watchdog
     * runs feeds it here, and resets when nobody asks for 32 seconds. */
    uint64_t (*ticks)(void);
};

enum hal_reset_cause {
    HAL_RESET_POWER_ON = 0,    /* or any reset this firmware did not ask for */
    HAL_RESET_REQUESTED = 1,
    HAL_RESET_FAULT = 2,
};

struct hal_reset {
    enum hal_reset_cause (*cause)(void);
    void (*now)(enum hal_reset_cause cause) __attribute__((noreturn));
};

struct hal_id {
    /* Copies up to `cap` bytes of the chip's unique number, most significant first; returns how
     * many, 0 on a chip that has none. */
    size_t (*read)(uint8_t *id, size_t cap);
};

/* Of such a chip. */
static inline size_t hal_no_id(uint8_t *id, size_t cap)
{
    (void)id;
    (void)cap;
    return 0;
}

struct hal {
    const struct hal_uart *uart;
    const struct hal_clock *clock;
    const struct hal_reset *reset;
    const struct hal_id *id;
    const struct hal_flash *flash; /* where the partitions are */
    const struct hal_uart *radio;  /* BLE's SMP service, as bytes: radio.h; NULL: none */
    const struct hal_otp *otp;     /* NULL: none */
};

extern const struct hal hal;

/* What became of the console's bytes since hal_listen(). */
struct hal_received {
    uint32_t most; /* kept at once */
    uint32_t lost; /* how often the UART reported that it had no place left: one byte or more each */
};

extern struct hal_received hal_received;

/* From now on an interrupt keeps the console's bytes while nobody reads, as many as the profile has
 * room for. Returns the console as it is to be read from here on; a chip that cannot do it returns
 * hal.uart. The bootloader, which reads nothing, does without. */
const struct hal_uart *hal_listen(void);

/* Brings up the console and the clock. */
void hal_init(void);

#endif
