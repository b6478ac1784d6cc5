/* QEMU plugin: instructions executed by each inference, layer by layer.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Arguments: marks=FILE (the address ranges, see read_marks) and out=FILE, to which one line is
 * appended as soon as an inference has returned: the instructions of the invoke function
 * itself, then those of each layer with all it calls. first=ADDRESS if it is not entered at its
 * start, also=START-END for code elsewhere that belongs to it.
 *
 * What counts as one: every instruction that the processor fetches and retires, whether or not
 * its condition holds. So an instruction skipped inside a Thumb IT block counts, and so do an
 * MVE instruction under VPT predication, and LE or LETP once for each iteration that ends in
 * them (an implementation may hide those from the second iteration on; QEMU runs them all).
 *
 * Distributions ship no qemu-plugin.h, so what is used of it is declared here. Only calls that
 * are alike in QEMU 7.2 (interface version 1) and in 9 and later (version 2 and up). */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_info;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };

typedef void (*tb_trans_fn)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void (*insn_exec_fn)(unsigned int vcpu, void *data);

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, tb_trans_fn fn);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, insn_exec_fn fn,
                                            enum qemu_plugin_cb_flags flags, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
void qemu_plugin_outs(const char *text);
int qemu_plugin_num_vcpus(void) __attribute__((weak)); /* since interface version 2 */

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc,
                               char **argv);

#define MAX_LAYERS 4096
#define MAX_INSNS 65536u /* a power of two */

struct mark {
    uint64_t start;
    uint64_t *count; /* of this layer, in the inference that runs */
};

struct tally {
    uint64_t count, taken;
};

/* An instruction of the firmware. */
struct insn {
    uint64_t address, next;
    struct tally *tallies; /* of invoke itself, then of each layer; NULL until it runs in one */
};

static uint64_t invoke_start, invoke_end;
static uint64_t invoke_first; /* where it is entered; its start, if not told */
static uint64_t also_start, also_end; /* code elsewhere that belongs to it */
static struct mark layers[MAX_LAYERS];
static uint64_t counts[MAX_LAYERS];
static size_t layer_count;
static uint64_t inside, outside; /* in invoke itself; between inferences */
static uint64_t *current = &outside;
static bool last_layer_ran;
static FILE *out;

static char insns_path[4096];               /* empty: nothing is tallied */
static struct insn *insns[MAX_INSNS];       /* by address, open addressing */
static const struct insn *last;             /* executed; NULL: outside of an inference */
static struct tally *last_tally;

/* QEMU reads qemu_plugin_version after the constructors have run, and versions from 9 on no
 * longer take 1. */
__attribute__((constructor)) static void choose_version(void)
{
    if (qemu_plugin_num_vcpus != NULL) {
        qemu_plugin_version = 2;
    }
}

/* `LAYER ADDRESS COUNT TAKEN` each, layer 0 being invoke itself; the address in hexadecimal. */
static void write_tallies(void)
{
    FILE *file = fopen(insns_path, "w");

    for (size_t i = 0; file != NULL && i < MAX_INSNS; i++) {
        for (size_t k = 0; insns[i] != NULL && insns[i]->tallies != NULL && k <= layer_count; k++) {
            const struct tally *tally = &insns[i]->tallies[k];

            if (tally->count > 0) {
                fprintf(file, "%zu %" PRIx64 " %" PRIu64 " %" PRIu64 "\n", k, insns[i]->address,
                        tally->count, tally->taken);
            }
        }
    }
    if (file != NULL) {
        fclose(file);
    }
}

static void clear_tallies(void)
{
    for (size_t i = 0; i < MAX_INSNS; i++) {
        if (insns[i] != NULL && insns[i]->tallies != NULL) {
            memset(insns[i]->tallies, 0, (layer_count + 1) * sizeof(struct tally));
        }
    }
}

/* The record of an instruction, new or known; NULL if there is no room, or nothing is tallied. */
static struct insn *find_insn(uint64_t address, uint64_t next)
{
    size_t at = (size_t)(address >> 1) & (MAX_INSNS - 1);

    for (size_t i = 0; insns_path[0] != '\0' && i < MAX_INSNS; i++, at = (at + 1) & (MAX_INSNS - 1)) {
        if (insns[at] == NULL) {
            insns[at] = calloc(1, sizeof(struct insn));
        }
        if (insns[at] == NULL) {
            break;
        }
        if (insns[at]->next == 0 || insns[at]->address == address) {
            insns[at]->address = address;
            insns[at]->next = next;
            return insns[at];
        }
    }
    return NULL;
}

/* Comes behind on_invoke, on_layer or on_other, which know by then in what layer it runs. */
static void on_insn(unsigned int vcpu, void *data)
{
    struct insn *insn = data;

    (void)vcpu;
    if (last != NULL && insn->address != last->next) {
        last_tally->taken++;
    }
    last = NULL;
    if (current == &outside) {
        return;
    }
    if (insn->tallies == NULL) {
        insn->tallies = calloc(layer_count + 1, sizeof(struct tally));
    }
    if (insn->tallies != NULL) {
        last = insn;
        last_tally = &insn->tallies[current == &inside ? 0 : (size_t)(current - counts) + 1];
        last_tally->count++;
    }
}

static void finish(void)
{
    if (insns_path[0] != '\0') {
        write_tallies();
    }
    fprintf(out, "%" PRIu64, inside);
    for (size_t i = 0; i < layer_count; i++) {
        fprintf(out, " %" PRIu64, counts[i]);
    }
    fputc('\n', out);
    fflush(out);
    current = &outside;
}

static void on_invoke(unsigned int vcpu, void *data)
{
    (void)vcpu;
    if (data != NULL) { /* its first instruction */
        memset(counts, 0, sizeof counts);
        clear_tallies();
        inside = 0;
        last_layer_ran = layer_count == 0;
        current = &inside;
    } else if (current != &outside) {
        current = &inside; /* a layer has returned */
    }
    ++*current;
}

static void on_layer(unsigned int vcpu, void *data)
{
    const struct mark *mark = data;

    (void)vcpu;
    if (current != &outside) {
        current = mark->count;
        last_layer_ran = mark == &layers[layer_count - 1];
    }
    ++*current;
}

static void on_other(unsigned int vcpu, void *data)
{
    (void)vcpu;
    (void)data;
    /* From invoke to elsewhere: it has returned. Before the last layer: an interrupt. */
    if (current == &inside && last_layer_ran) {
        finish();
    }
    ++*current;
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    const size_t n = qemu_plugin_tb_n_insns(tb);

    (void)id;
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        const uint64_t address = qemu_plugin_insn_vaddr(insn);
        insn_exec_fn fn = on_other;
        void *data = NULL;

        if ((address >= invoke_start && address < invoke_end)
            || (address >= also_start && address < also_end)) {
            fn = on_invoke;
            data = address == invoke_first ? &inside : NULL;
        } else {
            for (size_t k = 0; k < layer_count; k++) {
                if (address == layers[k].start) {
                    fn = on_layer;
                    data = &layers[k];
                }
            }
        }
        qemu_plugin_register_vcpu_insn_exec_cb(insn, fn, QEMU_PLUGIN_CB_NO_REGS, data);
        struct insn *record = find_insn(address, address + qemu_plugin_insn_size(insn));

        if (record != NULL) {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_insn, QEMU_PLUGIN_CB_NO_REGS, record);
        }
    }
}

/* Hexadecimal addresses: the first line is `start end` of invoke, each other line the first
 * instruction of a layer, in the order they run. */
static bool read_marks(const char *path)
{
    FILE *file = fopen(path, "r");
    bool ok = file != NULL && fscanf(file, "%" SCNx64 " %" SCNx64, &invoke_start, &invoke_end) == 2;

    while (ok && fscanf(file, "%" SCNx64, &layers[layer_count].start) == 1) {
        layers[layer_count].count = &counts[layer_count];
        layer_count++;
        ok = layer_count < MAX_LAYERS;
    }
    if (file != NULL) {
        fclose(file);
    }
    return ok;
}

int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc, char **argv)
{
    const char *marks = NULL;

    (void)info;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "marks=", 6) == 0) {
            marks = argv[i] + 6;
        } else if (strncmp(argv[i], "out=", 4) == 0) {
            out = fopen(argv[i] + 4, "w");
        } else if (strncmp(argv[i], "insns=", 6) == 0) {
            snprintf(insns_path, sizeof insns_path, "%s", argv[i] + 6);
        } else if (strncmp(argv[i], "first=", 6) == 0) {
            invoke_first = strtoull(argv[i] + 6, NULL, 16);
        } else if (strncmp(argv[i], "also=", 5) == 0) {
            char *end;

            also_start = strtoull(argv[i] + 5, &end, 16);
            also_end = *end == '-' ? strtoull(end + 1, NULL, 16) : 0;
        }
    }
    if (marks == NULL || out == NULL || !read_marks(marks)) {
        qemu_plugin_outs("icount: wants marks=FILE,out=FILE\n");
        return 1;
    }
    if (invoke_first == 0) {
        invoke_first = invoke_start;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    return 0;
}
