/* The bootloader: has firmware/boot pick what runs, and jumps there.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "board_config.h"
#include "boot.h"
#include "boot_setup.h"
#include "hal.h"
#include "jump.h"
#include "link.h"
#include "noinit.h"
#include "staging.h"

#define RETELL_SECONDS 2u

int main(void);

static struct boot_config config;
static struct boot boot;

static void put(const char *text)
{
    hal.uart->write(text, strlen(text));
}

/* As a number: the texts that firmware/SPEC.md has for them would be a tenth of the bootloader. */
static void put_status(enum boot_status status)
{
    const uint32_t number = (uint32_t)status;
    const char digits[] = { (char)('0' + number / 10 % 10), (char)('0' + number % 10), '\0' };

    put(digits);
    put("\r\n");
}

/* One line for every slot that is not good, from status `least` on. */
static void tell(uint32_t least)
{
    for (uint32_t i = 0; i < config.image_count; i++) {
        for (uint32_t j = 0; j < BOOT_SLOTS; j++) {
            const enum boot_status status = boot.status[i][j];

            if (status != BOOT_GOOD && (uint32_t)status >= least) {
                const char slot[] = { ' ', (char)('a' + j), ' ', '\0' };

                put(i == BOOT_APP ? "boot app" : "boot capsule");
                put(slot);
                put_status(status);
            }
        }
    }
}

/* Nothing boots. The console says why, again and again: whoever connects later sees it, too. */
static _Noreturn void stay(enum boot_status status)
{
    for (;;) {
        put("\r\nboot tinyseal " FIRMWARE_VERSION " " BOARD_NAME " nothing boots: ");
        put_status(status);
        tell(0);
        const uint32_t start = (uint32_t)hal.clock->ticks();

        while ((uint32_t)hal.clock->ticks() - start < RETELL_SECONDS * hal.clock->hz) {
        }
    }
}

int main(void)
{
    if (BOARD_STAGING_BYTES > 0
        && staging_install((const uint8_t *)BOARD_STAGING_ADDRESS, BOARD_STAGING_BYTES,
                           BOARD_STAGING_MARK)) {
        put("\r\nboot staged images are damaged, or the flash is\r\n");
    }
    boot_setup_to_run(&config);
    const enum boot_status status = boot_run(&boot, &config);

    boot_setup_wipe();
    if (status != BOOT_GOOD) {
        stay(status);
    }
    const uint32_t entry = boot_entry(&boot, BOOT_APP);

    if (entry == 0) {
        stay(BOOT_ECHANGED); /* a step of the verification was left out or done twice */
    }
    tell(BOOT_EMPTY + 1);
    boot_hand_over(&boot, (struct boot_handover *)(void *)link_handover);
    noinit_set_cause(hal.reset->cause()); /* hal_init() took it; it is the application's */
    jump_to(entry);
}
