/* A process as a chip: memory at fixed addresses, lines on pseudo-terminals, flash in a file.
 * SPDX-License-Identifier: Apache-2.0
 *
 * chip ELF FLASH key=NUMBER... (virtual/host.py knows them). Prints the names of its lines, console
 * first, then waits for a byte on standard input: power on. Everything that runs then calls the
 * functions of firmware/hal/host/chip.h, on a stack of its own. The flash's file is the flash,
 * then how often each unit was erased (4 bytes each), then the chip's id (8 bytes). One-time bits
 * are in a file of their own beside it, FLASH.otp: who puts an old flash back does not reach them. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "chip.h"

#define ID_BYTES 8u
#define PAGE_BYTES 4096u
#define MEMORIES 8
#define RECEIVE_BYTES 4096u
#define DRAIN_MS 1000          /* for a listener that does not read, before bytes are lost */
#define IDLE_CALLS 1000u       /* that did nothing, in a row, before the chip sleeps */
#define IDLE_GAP_NS 20000u     /* between two of them; after a longer one the firmware has worked */
#define SLEEP_MS 20

static struct {
    uint64_t flash_bytes, erase_bytes, endurance, registers, id;
    uint64_t otp_bits;
    struct {
        uint64_t base, bytes;
    } memory[MEMORIES];
    uint32_t memories;
} config;

static struct {
    int fd;
    int is_deaf; /* its listener did not read for DRAIN_MS */
    uint8_t received[RECEIVE_BYTES];
    size_t first, count;
} lines[CHIP_LINES];

static uint8_t *flash;
static uint32_t *erased;  /* how often, a unit */
static uint8_t *otp;      /* a bit each, from the lowest of the first byte; 1: burnt */
static uint64_t id;
static uint64_t started;
static uint32_t idle_calls; /* in a row, that did nothing */
static sigjmp_buf power;

static _Noreturn void fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

/* --- Time. --- */

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Called where the firmware asks and there is nothing. */
static void idle(void)
{
    static uint64_t last;
    const uint64_t time = now();

    idle_calls = time - last < IDLE_GAP_NS ? idle_calls + 1 : 0;
    last = time;
    if (idle_calls < IDLE_CALLS) {
        return;
    }
    struct pollfd waiting[CHIP_LINES];
    int hung_up = 0;

    for (int i = 0; i < CHIP_LINES; i++) {
        if (lines[i].first != lines[i].count) {
            return;
        }
        waiting[i] = (struct pollfd){ .fd = lines[i].fd, .events = POLLIN };
    }
    /* A line nobody has open is always ready, for nothing: then look again later. */
    if (poll(waiting, CHIP_LINES, 0) > 0) {
        for (int i = 0; i < CHIP_LINES; i++) {
            if (waiting[i].revents & POLLIN) {
                return;
            }
            if (waiting[i].revents & POLLHUP) {
                waiting[i].fd = -1;
                hung_up = 1;
            }
        }
    }
    poll(waiting, CHIP_LINES, hung_up ? SLEEP_MS / 4 : SLEEP_MS);
    last = now();
}

static uint64_t nanoseconds(void)
{
    idle();
    return now() - started;
}

/* --- Lines. --- */

static int receive(enum chip_line line)
{
    if (lines[line].first == lines[line].count) {
        const ssize_t got = read(lines[line].fd, lines[line].received, RECEIVE_BYTES);

        lines[line].first = 0;
        lines[line].count = got > 0 ? (size_t)got : 0;
        if (got <= 0) {
            idle();
            return -1;
        }
    }
    return lines[line].received[lines[line].first++];
}

static void send(enum chip_line line, const void *bytes, size_t len)
{
    const uint8_t *next = bytes;

    idle_calls = 0;
    while (len > 0) {
        struct pollfd listener = { .fd = lines[line].fd, .events = POLLOUT };

        poll(&listener, 1, lines[line].is_deaf ? 0 : DRAIN_MS);
        if (listener.revents & POLLHUP) {
            return;
        }
        lines[line].is_deaf = !(listener.revents & POLLOUT);
        if (lines[line].is_deaf) {
            return;
        }
        const ssize_t sent = write(lines[line].fd, next, len);

        if (sent > 0) {
            next += sent;
            len -= (size_t)sent;
        } else if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            return;
        }
    }
}

static void open_line(enum chip_line line)
{
    struct termios raw;
    const int fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    const char *const name = fd < 0 || grantpt(fd) || unlockpt(fd) ? NULL : ptsname(fd);
    const int other = name ? open(name, O_RDWR | O_NOCTTY) : -1;

    if (other < 0 || tcgetattr(other, &raw)) {
        fail("no pseudo-terminal: %s", strerror(errno));
    }
    cfmakeraw(&raw);
    tcsetattr(other, TCSANOW, &raw);
    close(other); /* from here on the kernel tells whether somebody has it open */
    puts(name);
    lines[line].fd = fd;
}

/* --- Flash. --- */

static void read_flash(uint32_t address, void *bytes, uint32_t len)
{
    idle_calls = 0;
    memcpy(bytes, flash + address, len);
}

static int program(uint32_t address, const void *bytes, uint32_t len)
{
    const uint8_t *from = bytes;

    idle_calls = 0;
    for (uint32_t i = 0; i < len; i++) {
        if (flash[address + i] != 0xff) {
            return -1;
        }
    }
    for (uint32_t i = 0; i < len; i++) {
        ((volatile uint8_t *)flash)[address + i] = from[i]; /* torn where the process is killed */
    }
    return 0;
}

static int erase(uint32_t address)
{
    uint32_t *const count = &erased[address / config.erase_bytes];

    idle_calls = 0;
    if (*count >= config.endurance) {
        return -1;
    }
    ++*count;
    memset(flash + address, 0xff, config.erase_bytes);
    return 0;
}

static void open_flash(const char *name)
{
    const uint64_t units = config.flash_bytes / config.erase_bytes;
    const uint64_t bytes = config.flash_bytes + 4 * units + ID_BYTES;
    const int fd = open(name, O_RDWR | O_CLOEXEC);
    struct stat there;

    if (fd < 0 || fstat(fd, &there)) {
        fail("%s: %s", name, strerror(errno));
    }
    if ((uint64_t)there.st_size != bytes) {
        fail("%s: expected %llu B, has %llu", name, (unsigned long long)bytes,
             (unsigned long long)there.st_size);
    }
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        fail("%s: another chip runs on this flash", name);
    }
    flash = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (flash == MAP_FAILED) {
        fail("%s: cannot be mapped: %s", name, strerror(errno));
    }
    erased = (uint32_t *)(void *)(flash + config.flash_bytes);
    uint8_t *const kept = flash + config.flash_bytes + 4 * units;

    memcpy(&id, kept, ID_BYTES);
    while (config.id == 0 && id == 0) {
        if (getrandom(&id, ID_BYTES, 0) != ID_BYTES) {
            fail("no random number for the chip's id: %s", strerror(errno));
        }
    }
    id = config.id ? config.id : id;
    memcpy(kept, &id, ID_BYTES);
}

static size_t read_id(uint8_t *to, size_t cap)
{
    const size_t len = cap < ID_BYTES ? cap : ID_BYTES;

    for (size_t i = 0; i < len; i++) {
        to[i] = (uint8_t)(id >> (8 * (ID_BYTES - 1 - i)));
    }
    return len;
}

/* --- One-time bits. --- */

static int32_t burnt(void)
{
    int32_t count = 0;

    while ((uint64_t)count < config.otp_bits && (otp[count / 8] >> (count % 8)) & 1) {
        count++;
    }
    return count;
}

static int burn(void)
{
    const int32_t next = burnt();

    if ((uint64_t)next >= config.otp_bits) {
        return -1;
    }
    otp[next / 8] |= (uint8_t)(1u << (next % 8));
    return 0;
}

static void open_otp(const char *flash_name)
{
    const size_t bytes = (config.otp_bits + 7) / 8;
    char name[4096];

    if (bytes == 0) {
        return;
    }
    snprintf(name, sizeof name, "%s.otp", flash_name);
    const int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0 || ftruncate(fd, (off_t)bytes)) {
        fail("%s: %s", name, strerror(errno));
    }
    otp = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (otp == MAP_FAILED) {
        fail("%s: cannot be mapped: %s", name, strerror(errno));
    }
    close(fd);
}

/* --- The processor. --- */

static void map(uint64_t base, uint64_t bytes)
{
    if (mmap((void *)base, bytes, PROT_READ | PROT_WRITE | PROT_EXEC,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0)
        != (void *)base) {
        fail("no memory at 0x%llx: %s", (unsigned long long)base, strerror(errno));
    }
}

static int is_memory(uint64_t base, uint64_t bytes)
{
    for (uint32_t i = 0; i < config.memories; i++) {
        if (base >= config.memory[i].base && bytes <= config.memory[i].bytes
            && base - config.memory[i].base <= config.memory[i].bytes - bytes) {
            return 1;
        }
    }
    return 0;
}

/* Puts the ELF's bytes where a chip has them; returns where to enter. */
static uint64_t load(const char *name)
{
    const int fd = open(name, O_RDONLY | O_CLOEXEC);
    Elf64_Ehdr header;

    if (fd < 0) {
        fail("%s: %s", name, strerror(errno));
    }
    if (pread(fd, &header, sizeof header, 0) != sizeof header
        || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0
        || header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64) {
        fail("%s: no ELF of this machine", name);
    }
    for (uint32_t i = 0; i < header.e_phnum; i++) {
        Elf64_Phdr part;

        if (pread(fd, &part, sizeof part, (off_t)(header.e_phoff + i * sizeof part))
            != sizeof part) {
            fail("%s: cut short", name);
        }
        if (part.p_type != PT_LOAD || part.p_filesz == 0) {
            continue;
        }
        if (!is_memory(part.p_paddr, part.p_filesz)
            || pread(fd, (void *)part.p_paddr, part.p_filesz, (off_t)part.p_offset)
                   != (ssize_t)part.p_filesz) {
            fail("%s: 0x%llx is no memory of this chip", name, (unsigned long long)part.p_paddr);
        }
    }
    close(fd);
    return header.e_entry;
}

static struct chip *registers(void)
{
    return (struct chip *)config.registers;
}

static _Noreturn void reset(void)
{
    siglongjmp(power, 1);
}

static void trap(int signal, siginfo_t *info, void *context)
{
    const ucontext_t *const at = context;
    void (*const on_fault)(uint32_t, uint32_t) = registers()->on_fault;

    registers()->on_fault = NULL; /* one in its handler is the end */
    if (on_fault) {
        on_fault((uint32_t)at->uc_mcontext.gregs[REG_RIP], (uint32_t)(uintptr_t)info->si_addr);
    }
    fail("signal %d at 0x%llx before the firmware was ready for it", signal,
         (unsigned long long)at->uc_mcontext.gregs[REG_RIP]);
}

static void catch_faults(void)
{
    static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
    static uint8_t stack[64 * 1024];
    const stack_t own = { .ss_sp = stack, .ss_size = sizeof stack };
    struct sigaction action = { .sa_sigaction = trap, .sa_flags = SA_SIGINFO | SA_ONSTACK };

    sigaltstack(&own, NULL);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        sigaction(signals[i], &action, NULL);
    }
}

static void take(const char *word)
{
    const struct {
        const char *key;
        uint64_t *value;
    } numbers[] = {
        { "flash_bytes=", &config.flash_bytes }, { "erase_bytes=", &config.erase_bytes },
        { "endurance=", &config.endurance },     { "registers=", &config.registers },
        { "id=", &config.id },                   { "otp_bits=", &config.otp_bits },
    };
    unsigned long long base, bytes;

    if (sscanf(word, "memory=%llu,%llu", &base, &bytes) == 2 && config.memories < MEMORIES) {
        config.memory[config.memories].base = base;
        config.memory[config.memories++].bytes = bytes;
        return;
    }
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        const size_t len = strlen(numbers[i].key);

        if (strncmp(word, numbers[i].key, len) == 0) {
            *numbers[i].value = strtoull(word + len, NULL, 10);
            return;
        }
    }
    fail("%s: what is that?", word);
}

int main(int argc, char **argv)
{
    char byte;

    if (argc < 4) {
        fail("usage: chip ELF FLASH key=NUMBER...");
    }
    for (int i = 3; i < argc; i++) {
        take(argv[i]);
    }
    for (uint32_t i = 0; i < config.memories; i++) {
        map(config.memory[i].base, config.memory[i].bytes);
    }
    map(config.registers, PAGE_BYTES);
    open_flash(argv[2]);
    open_otp(argv[2]);
    open_line(CHIP_CONSOLE);
    open_line(CHIP_RADIO);
    fflush(stdout);
    if (read(STDIN_FILENO, &byte, 1) != 1) {
        return 0; /* never switched on */
    }
    catch_faults();
    started = now();
    sigsetjmp(power, 1); /* a reset comes back here */
    *registers() = (struct chip){
        .receive = receive,
        .send = send,
        .nanoseconds = nanoseconds,
        .reset = reset,
        .id = read_id,
        .read = read_flash,
        .program = program,
        .erase = erase,
        .burnt = burnt,
        .burn = burn,
    };
    /* RAM but for .data keeps what it has, as over a chip's reset; the bootloader is loaded anew. */
    ((void (*)(void))load(argv[1]))();
    return 1;
}
