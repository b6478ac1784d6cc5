/* A process of the build machine as a chip. SPDX-License-Identifier: Apache-2.0 */
#include "board_config.h"
#include "chip.h"
#include "fault.h"
#include "flash_check.h"
#include "hal.h"
#include "noinit.h"

static struct chip *chip(void)
{
    return (struct chip *)(uintptr_t)BOARD_UART_BASE;
}

static int uart_read(void)
{
    return chip()->receive(CHIP_CONSOLE);
}

static void uart_write(const void *bytes, size_t len)
{
    chip()->send(CHIP_CONSOLE, bytes, len);
}

static int radio_read(void)
{
    return chip()->receive(CHIP_RADIO);
}

static void radio_write(const void *bytes, size_t len)
{
    chip()->send(CHIP_RADIO, bytes, len);
}

static uint64_t clock_ticks(void)
{
    return chip()->nanoseconds();
}

static _Noreturn void reset_now(enum hal_reset_cause cause)
{
    noinit_set_cause(cause);
    chip()->reset();
}

static size_t id_read(uint8_t *id, size_t cap)
{
    return chip()->id(id, cap);
}

static _Noreturn void fault(uint32_t pc, uint32_t address)
{
    const struct fault_word words[] = { { "pc", pc }, { "address", address } };

    fault_report(words, sizeof words / sizeof words[0]);
}

static const struct hal_flash flash;

static int flash_read(uint32_t address, void *bytes, uint32_t len)
{
    const int err = flash_check_read(&flash, address, len);

    if (!err) {
        chip()->read(address, bytes, len);
    }
    return err;
}

static int flash_program(uint32_t address, const void *bytes, uint32_t len)
{
    const int err = flash_check_program(&flash, address, bytes, len);

    if (err) {
        return err;
    }
    return chip()->program(address, bytes, len) ? FLASH_EIO : 0;
}

static int flash_erase(uint32_t address)
{
    const int err = flash_check_erase(&flash, address);

    if (err) {
        return err;
    }
    return chip()->erase(address) ? FLASH_EIO : 0;
}

static const struct hal_flash flash = {
    .read = flash_read,
    .program = flash_program,
    .erase = flash_erase,
    .bytes = BOARD_FLASH_BYTES,
    .erase_bytes = BOARD_FLASH_ERASE_BYTES,
    .program_bytes = BOARD_FLASH_PROGRAM_BYTES,
};

#ifdef BOARD_OTP_BITS
static int32_t otp_burnt(void)
{
    return chip()->burnt();
}

static int otp_burn(void)
{
    return chip()->burn();
}

static const struct hal_otp otp = {
    .bits = BOARD_OTP_BITS, .burnt = otp_burnt, .burn = otp_burn,
};
#endif

static const struct hal_uart uart = { .read = uart_read, .write = uart_write };
static const struct hal_uart radio = { .read = radio_read, .write = radio_write };
static const struct hal_clock clock = { .hz = BOARD_CLOCK_HZ, .ticks = clock_ticks };
static const struct hal_reset reset = { .cause = noinit_cause, .now = reset_now };
static const struct hal_id id = { .read = id_read };
const struct hal hal = {
    .uart = &uart, .clock = &clock, .reset = &reset, .id = &id, .flash = &flash,
    .radio = &radio,
#ifdef BOARD_OTP_BITS
    .otp = &otp,
#endif
};

void hal_init(void)
{
    noinit_take_cause();
    chip()->on_fault = fault;
}

const struct hal_uart *hal_listen(void)
{
    return &uart; /* the kernel keeps what comes */
}
