/* Glitches a Cortex-M program under Unicorn: one fault a run, each from the exact state that the
 * path without faults has there. SPDX-License-Identifier: Apache-2.0
 *
 * usage: glitch CONTENT, with lines on stdin, numbers in hexadecimal:
 *   core MODEL              Unicorn's number of the processor
 *   memory ADDRESS BYTES    zeroed, executable; `device`: zeroed, never executable; `hidden`: of
 *                           a flash that the processor has no address of: what it reads there is
 *                           0, what it writes is lost
 *   register ADDRESS VALUE  of a device: always read so; the rest of its page 0, what is written lost
 *   load ADDRESS OFFSET BYTES  what lies there, of the file CONTENT
 *   code ADDRESS BYTES      where the program lies
 *   path ADDRESS BYTES      a part of it that is visited; steps count every instruction
 *   mark ADDRESS            a function: runs are compared with the path without faults there
 *   forbidden ADDRESS BYTES nothing may ever run there
 *   stack ADDRESS BYTES     what is between its start and the stack pointer is dead
 *   flash N ADDRESS         a function done here instead: 0 read, 1 program, 2 erase
 *   hidden_unit BYTES       erased at once
 *   start PC SP, rest PC, limit INSTRUCTIONS
 * then either
 *   trace PASSES MIDDLE SEED  the path without faults: of each instruction the first and last
 *                           PASSES visits (0: all) and, of those between, about MIDDLE
 * which prints `path STEPS OUTCOME`, then `visit STEP ADDRESS SIZE BEHIND FRESH`, or faults,
 * sorted by where they are laid, STEP - BEHIND,
 *   fault KIND STEP ADDRESS SIZE BEHIND DETAIL AFTER KIND DETAIL
 * (AFTER so many instructions a second one, wherever that is; KIND 3: none), which prints the outcome of each.
 *
 * A run ends early where it must end like another: at a mark, in a state that the path without
 * faults or an earlier run was in there. The state is r0 to r11, sp, lr and all memory but the
 * dead part of the stack: r12 and the flags mean nothing at the entry of a function (AAPCS). */
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unicorn/unicorn.h>

#define SYSTEM 0xe000e000u /* the page of the system control space */
#define AIRCR 0xe000ed0cu
#define SYSRESETREQ 4u
#define THUMB_BIT (1u << 5) /* of the CPSR, where QEMU keeps it for M-profile, too */
#define REGISTERS 14u       /* r0 to r12, lr */
#define PAGE 4096u
#define MAX_REGIONS 64u
#define MAX_FORBIDDEN 64u
#define MAX_REGISTERS 64u
#define MAX_RUN_MARKS 64u /* states of one run that its outcome is remembered for */
#define HOT 64u           /* visits on the path, from which a mark is none */
#define KNOWN (1u << 21)  /* states remembered */
#define MAX_TOUCHED 256u /* pages, to which states are looked at */
#define MAX_OUTSIDE 0x10000u /* instructions of a run that are none of the program's */
#define MAX_LOOKS 16u
#define FIRST_PROBE 4096u /* instructions, at each doubling of which a loop is looked for */
#define FLASH_EBOUNDS (-2)
#define FLASH_EALIGN (-3)

enum outcome { RESTED, RAN, CRASHED, HUNG, NONE };
enum kind { SKIP, CLEAR, FLIP, NOTHING };
enum stop { GOING, AT_STEP, AT_NEXT, AT_FLASH, AT_END };
enum code { IS_PATH = 1, IS_MARK = 2, IS_REST = 4, IS_FLASH = 8 };
enum touched { IN_RUN = 1, ON_PATH = 2, EXECUTED = 4 };

struct range {
    uint32_t start;
    uint32_t bytes;
};

struct region {
    struct range at;
    int is_hidden;
    uint8_t *now;     /* what the processor sees */
    uint8_t *before;  /* the same where the path stands */
    uint8_t *first;   /* the same at the start */
    uint8_t *touched; /* of a page: see enum */
    uint64_t *sums;   /* of a page at the start; 0: not yet known */
};

struct pages {
    struct page {
        struct region *region;
        uint32_t index;
    } *list;
    size_t count;
};

struct fault {
    unsigned kind;
    uint64_t step;
    unsigned address, size, behind, detail;
    unsigned after, second, second_detail;
};

static uc_engine *cpu;
static unsigned core = UC_CPU_ARM_CORTEX_M4;
static struct region regions[MAX_REGIONS];
static size_t region_count;
static struct range forbidden[MAX_FORBIDDEN];
static size_t forbidden_count;
static struct range code, stack;
static uint8_t *code_kinds; /* of a halfword of the program: see enum */
static unsigned flash_functions[3], hidden_unit = 1, entry, first_sp, rest;
static uint64_t limit;
static uc_context *at_start, *at_fault, *at_bent;

static struct pages run_touched, path_touched;
static void (*visit)(uint32_t at, uint32_t size);
static uint64_t used;   /* instructions of this run */
static uint64_t outside;
static int is_resuming; /* at an instruction that was seen when it was stopped at */
static enum stop stopped;
static enum outcome outcome;

static void die(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(2);
}

static void must(uc_err err, const char *what)
{
    if (err != UC_ERR_OK) {
        fprintf(stderr, "%s: %s\n", what, uc_strerror(err));
        exit(2);
    }
}

static void *zeros(size_t bytes)
{
    void *const p = mmap(0, bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED) {
        die("out of memory");
    }
    return p;
}

/* --- Memory. --- */

static int is_in(const struct range *range, uint32_t at)
{
    return at - range->start < range->bytes;
}

static struct region *region_of(uint32_t at, int is_hidden)
{
    for (size_t i = 0; i < region_count; i++) {
        if (regions[i].is_hidden == is_hidden && is_in(&regions[i].at, at)) {
            return &regions[i];
        }
    }
    return 0;
}

static uint32_t halfword(uint32_t at)
{
    const struct region *const region = region_of(at, 0);
    uint16_t value = 0;

    if (region) {
        memcpy(&value, region->now + (at - region->at.start), sizeof value);
    }
    return value;
}

/* Registers that say ready for ever, in pages that keep nothing. */
static struct {
    uint32_t at;
    uint32_t value;
} registers[MAX_REGISTERS];
static size_t register_count;

static uint64_t read_register(uc_engine *uc, uint64_t offset, unsigned size, void *page)
{
    const uint32_t at = (uint32_t)((uintptr_t)page + offset);

    (void)uc;
    (void)size;
    for (size_t i = 0; i < register_count; i++) {
        if (registers[i].at == at) {
            return registers[i].value;
        }
    }
    return 0;
}

/* A hidden flash's chip, as start-up asks it through its window: with a status of 0 it is ready and
 * unprotected. Zeroed memory would give the command back instead, which says busy. */
static void write_window(uc_engine *uc, uint64_t offset, unsigned size, uint64_t value,
                         void *unused)
{
    (void)uc;
    (void)offset;
    (void)size;
    (void)value;
    (void)unused;
}

static void add_region(uint32_t start, uint32_t bytes, unsigned permissions)
{
    const size_t room = ((size_t)bytes + PAGE - 1) / PAGE * PAGE;

    if (region_count == MAX_REGIONS) {
        die("too many memories");
    }
    regions[region_count++] = (struct region){
        .at = { start, (uint32_t)room },
        .is_hidden = permissions == 0,
        .now = zeros(room),
        .before = zeros(room),
        .first = zeros(room),
        .touched = zeros(room / PAGE),
        .sums = zeros(room / PAGE * sizeof(uint64_t)),
    };
    if (permissions != 0) {
        must(uc_mem_map_ptr(cpu, start, room, permissions, regions[region_count - 1].now),
             "memory");
    } else {
        must(uc_mmio_map(cpu, start, room, read_register, 0, write_window, 0), "window");
    }
}

static void add_register(uint32_t at, uint32_t value)
{
    const uint32_t page = at & ~(PAGE - 1);
    int is_new = 1;

    if (register_count == MAX_REGISTERS) {
        die("too many registers");
    }
    for (size_t i = 0; i < register_count; i++) {
        is_new &= (registers[i].at & ~(PAGE - 1)) != page;
    }
    registers[register_count].at = at;
    registers[register_count++].value = value;
    if (is_new) {
        must(uc_mmio_map(cpu, page, PAGE, read_register, (void *)(uintptr_t)page, write_window, 0),
             "register");
    }
}

static void load(FILE *content, uint32_t at, long offset, uint32_t bytes)
{
    struct region *r = region_of(at, 0);

    r = r ? r : region_of(at, 1);
    if (!r || bytes > r->at.bytes - (at - r->at.start)
        || fseek(content, offset, SEEK_SET) != 0
        || fread(r->now + (at - r->at.start), 1, bytes, content) != bytes) {
        die("load: no such memory or content");
    }
    memcpy(r->before + (at - r->at.start), r->now + (at - r->at.start), bytes);
    memcpy(r->first + (at - r->at.start), r->now + (at - r->at.start), bytes);
}

static void note(struct pages *all, struct region *region, uint32_t index, unsigned how)
{
    if (!(region->touched[index] & how)) {
        region->touched[index] |= (uint8_t)how;
        all->list[all->count++] = (struct page){ region, index };
    }
}

static void protect(const struct region *region, uint32_t index, uint32_t count, int how)
{
    if (mprotect(region->now + (size_t)index * PAGE, (size_t)count * PAGE, how) != 0) {
        die("mprotect"); /* the kernel keeps too many pieces: vm.max_map_count */
    }
}

/* The page is about to be written. */
static void touch(struct region *region, uint32_t index)
{
    if (!(region->touched[index] & (IN_RUN | ON_PATH))) {
        note(&run_touched, region, index, IN_RUN);
        protect(region, index, 1, PROT_READ | PROT_WRITE);
    }
}

static void touch_bytes(struct region *region, uint32_t at, uint32_t bytes)
{
    const uint32_t offset = at - region->at.start;

    for (uint32_t i = offset / PAGE; bytes != 0 && i <= (offset + bytes - 1) / PAGE; i++) {
        touch(region, i);
    }
}

/* A page that nobody wrote to is read-only for this process: the first write comes by here. */
static void on_fault(int number, siginfo_t *info, void *unused)
{
    const uint8_t *const at = info->si_addr;

    (void)unused;
    for (size_t i = 0; i < region_count; i++) {
        struct region *const r = &regions[i];

        if (at >= r->now && at < r->now + r->at.bytes) {
            const uint32_t index = (uint32_t)((size_t)(at - r->now) / PAGE);

            if (!(r->touched[index] & (IN_RUN | ON_PATH))) {
                touch(r, index);
                return;
            }
        }
    }
    signal(number, SIG_DFL); /* Unicorn's own; it comes again */
}

static void forget_code(const struct region *region, uint32_t index)
{
    const uint32_t at = region->at.start + index * PAGE;

    if (!region->is_hidden && ((region->touched[index] & EXECUTED) || is_in(&code, at))) {
        (void)uc_ctl_remove_cache(cpu, at, at + PAGE); /* refused where none is cached */
    }
}

static void restore(const struct page *page, const uint8_t *from)
{
    const size_t offset = (size_t)page->index * PAGE;

    if (memcmp(page->region->now + offset, from + offset, PAGE) != 0) {
        memcpy(page->region->now + offset, from + offset, PAGE);
        forget_code(page->region, page->index);
    }
}

/* Everything that this run wrote is as it was where the path stands. */
static void undo_run(void)
{
    for (size_t i = 0; i < path_touched.count; i++) {
        restore(&path_touched.list[i], path_touched.list[i].region->before);
    }
    for (size_t i = 0; i < run_touched.count; i++) {
        const struct page *const p = &run_touched.list[i];

        restore(p, p->region->before);
        protect(p->region, p->index, 1, PROT_READ);
        p->region->touched[p->index] &= (uint8_t)~IN_RUN;
    }
    run_touched.count = 0;
}

/* What was written is the path's, which stands here now. */
static void keep_run(void)
{
    for (size_t i = 0; i < run_touched.count; i++) {
        const struct page *const p = &run_touched.list[i];

        p->region->touched[p->index] &= (uint8_t)~IN_RUN;
        note(&path_touched, p->region, p->index, ON_PATH);
    }
    run_touched.count = 0;
    for (size_t i = 0; i < path_touched.count; i++) {
        const struct page *const p = &path_touched.list[i];
        const size_t offset = (size_t)p->index * PAGE;

        memcpy(p->region->before + offset, p->region->now + offset, PAGE);
    }
}

static void start_over(void)
{
    must(uc_context_restore(cpu, at_start), "context");
    keep_run();
    for (size_t i = 0; i < path_touched.count; i++) {
        restore(&path_touched.list[i], path_touched.list[i].region->first);
    }
    keep_run();
    is_resuming = 0;
}

/* --- Registers and states. --- */

static uint32_t get(int id)
{
    uint32_t value = 0;

    must(uc_reg_read(cpu, id, &value), "register");
    return value;
}

static void set(int id, uint32_t value)
{
    must(uc_reg_write(cpu, id, &value), "register");
}

static int register_id(unsigned i)
{
    static const int ids[REGISTERS] = {
        UC_ARM_REG_R0, UC_ARM_REG_R1, UC_ARM_REG_R2,  UC_ARM_REG_R3,  UC_ARM_REG_R4,
        UC_ARM_REG_R5, UC_ARM_REG_R6, UC_ARM_REG_R7,  UC_ARM_REG_R8,  UC_ARM_REG_R9,
        UC_ARM_REG_R10, UC_ARM_REG_R11, UC_ARM_REG_R12, UC_ARM_REG_LR,
    };

    return ids[i];
}

static void get_all(uint32_t values[REGISTERS])
{
    for (unsigned i = 0; i < REGISTERS; i++) {
        values[i] = get(register_id(i));
    }
}

static uint64_t mix(uint64_t sum, uint64_t value)
{
    sum = (sum ^ value) * 0x9e3779b97f4a7c15u;
    return sum ^ sum >> 32;
}

static uint64_t sum_of(const struct page *p, const uint8_t *bytes)
{
    uint64_t sum = mix((uint64_t)(p->region - regions), p->index);

    for (uint32_t i = 0; i < PAGE; i += 8) {
        uint64_t word;

        memcpy(&word, bytes + i, sizeof word);
        sum = mix(sum, word);
    }
    return sum;
}

/* How far a page is from what it was at the start; 0: not at all. */
static uint64_t change_of(const struct page *p, uint32_t sp)
{
    const uint32_t at = p->region->at.start + p->index * PAGE;
    const uint8_t *now = p->region->now + (size_t)p->index * PAGE;
    uint8_t live[PAGE];

    if (!p->region->is_hidden && at >= stack.start && is_in(&stack, sp) && at < sp) {
        if (sp - at >= PAGE) {
            return 0;
        }
        memset(live, 0, sizeof live); /* as a stack begins */
        memcpy(live + (sp - at), now + (sp - at), PAGE - (sp - at));
        now = live;
    }
    if (p->region->sums[p->index] == 0) {
        p->region->sums[p->index] = sum_of(p, p->region->first + (size_t)p->index * PAGE);
    }
    return sum_of(p, now) - p->region->sums[p->index];
}

static uint64_t state_at(uint32_t at, int is_call)
{
    const uint32_t sp = get(UC_ARM_REG_SP);
    uint64_t memory = 0;
    uint64_t sum = mix(at, sp);

    for (unsigned i = 0; i < REGISTERS; i++) {
        sum = i == 12 && is_call ? sum : mix(sum, get(register_id(i)));
    }
    sum = is_call ? sum : mix(sum, get(UC_ARM_REG_CPSR));
    for (size_t i = 0; i < path_touched.count; i++) {
        memory += change_of(&path_touched.list[i], sp);
    }
    for (size_t i = 0; i < run_touched.count; i++) {
        memory += change_of(&run_touched.list[i], sp);
    }
    return mix(sum, memory) | 1; /* 0 is an empty place in the table */
}

static struct {
    uint64_t state;
    enum outcome outcome;
} known[KNOWN];
static size_t known_count;

static enum outcome outcome_of(uint64_t state)
{
    size_t i = state % KNOWN;

    while (known[i].state != 0 && known[i].state != state) {
        i = (i + 1) % KNOWN;
    }
    return known[i].state == state ? known[i].outcome : NONE;
}

static void remember(uint64_t state, enum outcome what)
{
    size_t i = state % KNOWN;

    if (known_count >= KNOWN / 2) {
        return;
    }
    while (known[i].state != 0 && known[i].state != state) {
        i = (i + 1) % KNOWN;
    }
    known_count += known[i].state == 0;
    known[i].state = state;
    known[i].outcome = what;
}

/* --- Running. --- */

static void stop(enum stop where)
{
    stopped = where;
    uc_emu_stop(cpu);
}

static void end(enum outcome how)
{
    outcome = how;
    stop(AT_END);
}

static unsigned kind_of(uint32_t at)
{
    return is_in(&code, at) ? code_kinds[(at - code.start) / 2] : 0;
}

/* Erased flash. Nothing of an image runs there: an instruction that begins with a halfword of ones
 * is undefined in Thumb, so it faults. */
static int is_erased(uint32_t at)
{
    uint16_t halfword;

    must(uc_mem_read(cpu, at, &halfword, sizeof halfword), "code");
    return halfword == UINT16_MAX;
}

/* A branch to an even address runs nothing: Armv7-M has no Arm state, and faults (B1.5.4,
 * INVSTATE). */
static void leave_program(uint32_t at)
{
    struct region *const region = region_of(at, 0);

    if (outside++ >= MAX_OUTSIDE) {
        end(CRASHED); /* a slide over what is no code, for 128 KiB or more */
        return;
    }
    for (size_t i = 0; i < forbidden_count; i++) {
        if (is_in(&forbidden[i], at)) {
            end(get(UC_ARM_REG_CPSR) & THUMB_BIT && !is_erased(at) ? RAN : CRASHED);
            return;
        }
    }
    if (region) {
        region->touched[(at - region->at.start) / PAGE] |= EXECUTED;
    }
}

static void on_code(uc_engine *uc, uint64_t address, uint32_t size, void *unused)
{
    const uint32_t at = (uint32_t)address;
    const unsigned kind = kind_of(at);

    (void)uc;
    (void)unused;
    if (stopped != GOING) {
        uc_emu_stop(cpu); /* within an IT block the processor model goes on to its end */
        return;
    }
    if (is_resuming) {
        is_resuming = 0;
        return;
    }
    if (used++ >= limit) {
        end(HUNG);
    } else if (kind & IS_REST) {
        end(RESTED);
    } else if (kind & IS_FLASH) {
        stop(AT_FLASH);
    } else {
        if (!is_in(&code, at)) {
            leave_program(at);
        }
        if (stopped == GOING && visit) {
            visit(at, size);
        }
    }
}

static void write_system(uc_engine *uc, uint64_t offset, unsigned size, uint64_t value,
                         void *unused)
{
    (void)uc;
    (void)size;
    (void)unused;
    if (SYSTEM + offset == AIRCR && (value & SYSRESETREQ) && stopped == GOING) {
        end(RESTED);
    }
}

/* Handled, as far as Unicorn is concerned: else it would be pending in the next run. */
static void on_exception(uc_engine *uc, uint32_t number, void *unused)
{
    (void)uc;
    (void)number;
    (void)unused;
    if (stopped != AT_END) {
        end(CRASHED);
    }
}

/* The flash functions, as hal/flash.h has them: the chip behind them is not modelled. */
static int do_flash(unsigned function, uint32_t at, uint32_t bytes, uint32_t len)
{
    struct region *flash = 0;

    for (size_t i = 0; i < region_count; i++) {
        flash = regions[i].is_hidden ? &regions[i] : flash;
    }
    len = function == 2 ? hidden_unit : len;
    if (!flash || at > flash->at.bytes || len > flash->at.bytes - at) {
        return FLASH_EBOUNDS;
    }
    if (function == 2) {
        if (at % hidden_unit != 0) {
            return FLASH_EALIGN;
        }
        touch_bytes(flash, flash->at.start + at, len);
        memset(flash->now + at, 0xff, len);
        return 0;
    }
    for (uint32_t i = 0; i < len; i++) {
        struct region *const ram = region_of(bytes + i, 0);

        if (!ram) {
            end(CRASHED);
            return 0;
        }
        uint8_t *const byte = ram->now + (bytes + i - ram->at.start);

        if (function == 0) {
            touch_bytes(ram, bytes + i, 1);
            *byte = flash->now[at + i];
        } else {
            touch_bytes(flash, flash->at.start + at + i, 1);
            flash->now[at + i] &= *byte;
        }
    }
    return 0;
}

static void serve_flash(void)
{
    const uint32_t pc = get(UC_ARM_REG_PC) & ~1u;
    const uint32_t lr = get(UC_ARM_REG_LR);

    for (unsigned i = 0; i < 3; i++) {
        if (flash_functions[i] == pc) {
            const int result = do_flash(i, get(UC_ARM_REG_R0), get(UC_ARM_REG_R1),
                                        get(UC_ARM_REG_R2));

            set(UC_ARM_REG_R0, (uint32_t)result);
            set(UC_ARM_REG_PC, lr);
            return;
        }
    }
}

/* Until a visit stops it or it ends; where. */
static enum stop run(void)
{
    for (;;) {
        stopped = GOING;
        const uc_err err = uc_emu_start(cpu, get(UC_ARM_REG_PC) | 1, 0xffffffffu, 0, 0);

        if (stopped == GOING) {
            outcome = err == UC_ERR_OK ? HUNG : CRASHED; /* asleep, or a fault's handler */
            stopped = AT_END;
        }
        if (stopped != AT_FLASH) {
            return stopped;
        }
        serve_flash();
        if (stopped == AT_END) {
            return stopped;
        }
    }
}

/* --- The path without faults. --- */

static uint64_t step; /* of the instruction that is visited, from 0 */
static uint64_t stop_step;
static uint32_t *visits;   /* of a halfword of the program */
static uint32_t *seen;     /* the same, so far */
static uint8_t *is_chosen; /* of a step */
static uint64_t steps, passes, middle, dice;
static uint32_t values[REGISTERS];
static unsigned it_left; /* instructions of an IT block still to come */
static unsigned behind;  /* ... and how many back it began */

static uint64_t draw(void) /* xorshift64*: Vigna, 2016 */
{
    dice ^= dice >> 12;
    dice ^= dice << 25;
    dice ^= dice >> 27;
    return dice * 0x2545f4914f6cdd1du;
}

/* Runs the path from its start on; `each` sees every instruction. */
static enum stop walk(void (*each)(uint32_t at, uint32_t size))
{
    start_over();
    visit = each;
    step = used = outside = 0;
    return run();
}

static void count_visit(uint32_t at, uint32_t size)
{
    (void)size;
    step++;
    if (is_in(&code, at)) {
        visits[(at - code.start) / 2]++;
    }
}

static void choose_visit(uint32_t at, uint32_t size)
{
    (void)size;
    if (kind_of(at) & IS_PATH) {
        const uint32_t i = (at - code.start) / 2;
        const uint64_t nth = seen[i]++;
        const uint64_t between = visits[i] > 2 * passes ? visits[i] - 2 * passes : 0;

        is_chosen[step] = passes == 0 || nth < passes || nth >= visits[i] - passes
                          || (between != 0 && draw() % between < middle);
    }
    step++;
}

/* How many instructions follow under an IT; 0: it is none (Armv7-M ARM, A7.7.38). */
static unsigned it_length(uint32_t at)
{
    const uint32_t first = halfword(at);

    if (first >> 8 != 0xbf || (first & 15) == 0) {
        return 0;
    }
    return 4u - (unsigned)__builtin_ctz(first & 15);
}

static void print_visit(uint32_t at, uint32_t size)
{
    uint32_t now[REGISTERS];
    unsigned fresh = 0;

    behind = it_left ? behind + 1 : 0;
    it_left = it_left ? it_left - 1 : it_length(at);
    if (is_chosen[step] || is_chosen[step + 1]) {
        get_all(now);
        for (unsigned i = 0; i < REGISTERS; i++) {
            fresh |= (unsigned)(now[i] != values[i] && now[i] != 0) << i;
        }
        memcpy(values, now, sizeof values);
    }
    if (is_chosen[step]) {
        printf("visit %" PRIx64 " %x %x %x %x\n", step, at, size, behind, step ? fresh : 0);
    }
    step++;
}

static void trace(void)
{
    visits = zeros((code.bytes / 2 + 1) * sizeof *visits);
    seen = zeros((code.bytes / 2 + 1) * sizeof *seen);
    (void)walk(count_visit);
    steps = step;
    is_chosen = zeros(steps + 2);
    printf("path %" PRIx64 " %d\n", steps, outcome);
    (void)walk(choose_visit);
    (void)walk(print_visit);
}

/* --- Faults. --- */

static void see_marks(uint32_t at, uint32_t size)
{
    (void)size;
    if (kind_of(at) & IS_MARK) {
        remember(state_at(at, 1), RESTED);
    }
}

static void stop_at_step(uint32_t at, uint32_t size)
{
    (void)at;
    (void)size;
    if (step == stop_step) {
        is_resuming = 1;
        stop(AT_STEP);
        return;
    }
    step++;
}

static unsigned bent_at, was_bent, to_skip;
static uint64_t run_marks[MAX_RUN_MARKS];
static size_t run_mark_count;
static uint64_t probe; /* used, when a state is next kept to find a loop */
static uint32_t probe_at, probed[REGISTERS];
static uint64_t probe_state;
static unsigned looks;

/* A state is kept at every doubling of what the run has taken: a loop without end comes back. */
static int is_endless(uint32_t at)
{
    uint32_t now[REGISTERS];

    if (used != probe && at != probe_at) {
        return 0;
    }
    get_all(now);
    if (used == probe) {
        probe *= 2;
        probe_at = at;
        looks = 0;
        memcpy(probed, now, sizeof probed);
        probe_state = state_at(at, 0);
        return 0;
    }
    if (memcmp(probed, now, sizeof now) != 0) {
        return 0;
    }
    probe_at = ++looks < MAX_LOOKS ? probe_at : 1; /* memory takes long to sum up */
    return state_at(at, 0) == probe_state;
}

static void suffer_visit(uint32_t at, uint32_t size)
{
    (void)size;
    if (run_touched.count > MAX_TOUCHED) {
        return; /* it runs wild; what follows would take long to sum up */
    }
    if (is_endless(at)) {
        end(HUNG);
    } else if (kind_of(at) & IS_MARK && run_mark_count < MAX_RUN_MARKS) {
        const uint64_t state = state_at(at, 1);
        const enum outcome before = outcome_of(state);

        if (before != NONE) {
            end(before);
        } else {
            run_marks[run_mark_count++] = state;
        }
    }
}

/* Stops behind the one execution of the bent instruction. */
static void pass_bent(uint32_t at, uint32_t size)
{
    (void)size;
    if (was_bent) {
        stop(AT_NEXT);
    }
    was_bent |= at == bent_at;
}

static void pass_some(uint32_t at, uint32_t size)
{
    (void)at;
    (void)size;
    if (to_skip-- == 0) {
        stop(AT_NEXT);
    }
}

static void patch(uint32_t at, const uint8_t *bytes, uint32_t len)
{
    struct region *const region = region_of(at, 0);

    touch_bytes(region, at, len);
    memcpy(region->now + (at - region->at.start), bytes, len);
    (void)uc_ctl_remove_cache(cpu, at, at + len);
}

/* One step with the instruction bent, or as a NOP; memory keeps its content, as when a fetch is
 * glitched. */
static void step_bent(const struct fault *fault)
{
    static const uint8_t nops[2][4] = { { 0x00, 0xbf }, { 0xaf, 0xf3, 0x00, 0x80 } };
    uint8_t sound[4], bent[4], there[4];

    must(uc_mem_read(cpu, fault->address, sound, fault->size), "code");
    memcpy(bent, fault->kind == FLIP ? sound : nops[fault->size == 4], sizeof bent);
    if (fault->kind == FLIP) {
        bent[fault->detail / 8] ^= (uint8_t)(1u << fault->detail % 8);
    }
    patch(fault->address, bent, fault->size);
    bent_at = fault->address;
    was_bent = 0;
    visit = pass_bent;
    (void)run();
    must(uc_mem_read(cpu, fault->address, there, fault->size), "code");
    if (memcmp(there, bent, fault->size) == 0) { /* else the step wrote there */
        /* Unicorn finds cached code by the processor's state, which may be a strange one now. */
        must(uc_context_save(cpu, at_bent), "context");
        must(uc_context_restore(cpu, at_fault), "context");
        patch(fault->address, sound, fault->size);
        must(uc_context_restore(cpu, at_bent), "context");
    }
}

static uint32_t size_at(uint32_t at) /* Armv7-M ARM, A5.1 */
{
    return halfword(at) >> 11 >= 0x1d ? 4 : 2;
}

/* The second fault, wherever the first one has led. */
static void suffer_again(unsigned kind, unsigned detail)
{
    const uint32_t pc = get(UC_ARM_REG_PC) & ~1u;
    const uint32_t size = size_at(pc);

    stopped = GOING;
    if (kind == CLEAR) {
        set(register_id(detail), 0);
    } else if (kind == SKIP) {
        set(UC_ARM_REG_PC, (pc + size) | 1);
    } else if (is_in(&code, pc)) {
        step_bent(&(struct fault){ .kind = FLIP, .address = pc, .size = size,
                                   .detail = detail % (8 * size) });
    }
}

/* Stopped where the fault is laid: the fault, then on to the end. */
static enum outcome suffer(const struct fault *fault)
{
    stopped = GOING;
    used = outside = 0;
    if (fault->kind == CLEAR) {
        set(register_id(fault->detail), 0);
    } else if (fault->kind == FLIP || fault->behind != 0) {
        step_bent(fault);
    } else {
        set(UC_ARM_REG_PC, (fault->address + fault->size) | 1);
    }
    if (stopped != AT_END && fault->second != NOTHING) {
        to_skip = fault->after;
        visit = pass_some;
        if (run() == AT_NEXT) {
            suffer_again(fault->second, fault->second_detail);
        }
    }
    run_mark_count = 0;
    probe = used + FIRST_PROBE;
    probe_at = 1; /* no instruction's */
    if (stopped != AT_END) {
        visit = suffer_visit;
        (void)run();
    }
    for (size_t i = 0; i < run_mark_count; i++) {
        remember(run_marks[i], outcome);
    }
    return outcome;
}

static void inject(void)
{
    char line[128];
    struct fault f;

    visits = zeros((code.bytes / 2 + 1) * sizeof *visits);
    (void)walk(count_visit);
    for (uint32_t i = 0; i < code.bytes / 2; i++) {
        if (visits[i] > HOT) {
            code_kinds[i] &= (uint8_t)~IS_MARK;
        }
    }
    (void)walk(see_marks);
    start_over();
    step = 0;
    stop_step = UINT64_MAX;
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "fault %x %" SCNx64 " %x %x %x %x %x %x %x", &f.kind, &f.step,
                   &f.address, &f.size, &f.behind, &f.detail, &f.after, &f.second,
                   &f.second_detail) != 9) {
            die("a fault is nine numbers");
        }
        if (f.step - f.behind != stop_step) {
            stop_step = f.step - f.behind;
            visit = stop_at_step;
            used = outside = 0;
            const int went_on = is_resuming; /* over the instruction that was stopped at */

            step += (uint64_t)went_on;
            if (run() != AT_STEP) {
                die("the path ended before its fault");
            }
            keep_run();
            must(uc_context_save(cpu, at_fault), "context");
        }
        is_resuming = 0;
        printf("%d\n", suffer(&f));
        fflush(stdout);
        must(uc_context_restore(cpu, at_fault), "context");
        undo_run();
        is_resuming = 1;
    }
}

/* --- The order. --- */

static void set_kind(uint32_t at, unsigned kind)
{
    if (!is_in(&code, at)) {
        die("outside of the code");
    }
    code_kinds[(at - code.start) / 2] |= (uint8_t)kind;
}

static void set_up(void)
{
    struct sigaction catch = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
    size_t pages = 0;
    uc_hook hook;

    for (size_t i = 0; i < region_count; i++) {
        protect(&regions[i], 0, regions[i].at.bytes / PAGE, PROT_READ);
        pages += regions[i].at.bytes / PAGE;
    }
    run_touched.list = zeros(pages * sizeof *run_touched.list);
    path_touched.list = zeros(pages * sizeof *path_touched.list);
    (void)sigaction(SIGSEGV, &catch, 0);

    for (unsigned i = 0; i < 3; i++) {
        if (flash_functions[i] != 0) {
            set_kind(flash_functions[i], IS_FLASH);
        }
    }
    set_kind(rest, IS_REST);
    must(uc_hook_add(cpu, &hook, UC_HOOK_CODE, (void *)on_code, 0, 1, 0), "hook");
    must(uc_hook_add(cpu, &hook, UC_HOOK_INTR, (void *)on_exception, 0, 1, 0), "hook");
    must(uc_mmio_map(cpu, SYSTEM, PAGE, read_register, 0, write_system, 0), "system");
    set(UC_ARM_REG_SP, first_sp);
    set(UC_ARM_REG_PC, entry | 1);
    must(uc_context_alloc(cpu, &at_start), "context");
    must(uc_context_alloc(cpu, &at_fault), "context");
    must(uc_context_alloc(cpu, &at_bent), "context");
    must(uc_context_save(cpu, at_start), "context");
}

static void order(const char *word, unsigned a, unsigned b, unsigned c, FILE *content)
{
    if (strcmp(word, "memory") == 0) {
        add_region(a, b, UC_PROT_ALL);
    } else if (strcmp(word, "device") == 0) {
        add_region(a, b, UC_PROT_READ | UC_PROT_WRITE);
    } else if (strcmp(word, "hidden") == 0) {
        add_region(a, b, UC_PROT_NONE);
    } else if (strcmp(word, "register") == 0) {
        add_register(a, b);
    } else if (strcmp(word, "load") == 0) {
        load(content, a, (long)b, c);
    } else if (strcmp(word, "code") == 0) {
        code = (struct range){ a, b };
        code_kinds = zeros(b / 2 + 1);
    } else if (strcmp(word, "path") == 0) {
        for (uint32_t at = a; at - a < b; at += 2) {
            set_kind(at, IS_PATH);
        }
    } else if (strcmp(word, "mark") == 0) {
        set_kind(a, IS_MARK);
    } else if (strcmp(word, "forbidden") == 0 && forbidden_count < MAX_FORBIDDEN) {
        forbidden[forbidden_count++] = (struct range){ a, b };
    } else if (strcmp(word, "stack") == 0) {
        stack = (struct range){ a, b };
    } else if (strcmp(word, "flash") == 0 && a < 3) {
        flash_functions[a] = b;
    } else if (strcmp(word, "hidden_unit") == 0 && a != 0) {
        hidden_unit = a;
    } else if (strcmp(word, "start") == 0) {
        entry = a;
        first_sp = b;
    } else if (strcmp(word, "rest") == 0) {
        rest = a;
    } else if (strcmp(word, "limit") == 0) {
        limit = a;
    } else {
        die(word);
    }
}

int main(int argc, char **argv)
{
    char line[128], word[32];
    unsigned a, b, c;
    FILE *const content = argc == 2 ? fopen(argv[1], "rb") : 0;

    if (!content || !fgets(line, sizeof line, stdin) || sscanf(line, "core %x", &core) != 1) {
        die("usage: glitch CONTENT, orders on stdin, the first `core MODEL`");
    }
    must(uc_open(UC_ARCH_ARM, UC_MODE_THUMB | UC_MODE_MCLASS, &cpu), "open");
    must(uc_ctl_set_cpu_model(cpu, (int)core), "core");
    while (fgets(line, sizeof line, stdin)) {
        a = b = c = 0;
        if (sscanf(line, "%31s %x %x %x", word, &a, &b, &c) < 1) {
            continue;
        }
        if (strcmp(word, "trace") == 0) {
            passes = a;
            middle = b;
            dice = c * 2ull + 1;
            set_up();
            trace();
            return 0;
        }
        if (strcmp(word, "faults") == 0) {
            set_up();
            inject();
            return 0;
        }
        order(word, a, b, c, content);
    }
    die("neither a trace nor faults");
}
