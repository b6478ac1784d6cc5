/* Runs a capsule where an ESP32 would, in QEMU's LX60 with a core that has an MMU.
 * SPDX-License-Identifier: Apache-2.0
 *
 * The LX60's memory begins at 0; its MMU shows it to addresses from 0x20000000 on, so that flash
 * and RAM lie where an ESP32 has them. QEMU's loader put the flash there twice, for data and for
 * instructions, and the inputs to INPUTS. Outputs go to standard output. */
#include "capsule.h"

/* QEMU, target/xtensa/xtensa-semi.c */
enum { EXIT = 1, WRITE = 4 };

static void call(uint32_t number, uint32_t a, uint32_t b, uint32_t c)
{
    register uint32_t a2 __asm("a2") = number;
    register uint32_t a3 __asm("a3") = a;
    register uint32_t a4 __asm("a4") = b;
    register uint32_t a5 __asm("a5") = c;

    __asm volatile("simcall" : "+r"(a2), "+r"(a3) : "r"(a4), "r"(a5) : "memory");
}

/* Xtensa ISA reference manual, 4.6.5: way 6 has eight pages of 512 MiB; attribute 3 allows
 * everything. */
static void map(uint32_t address, uint32_t memory)
{
    __asm volatile("wdtlb %0, %1\n"
                   "witlb %0, %1\n"
                   "dsync\n"
                   "isync"
                   :
                   : "r"(memory | 3u), "r"(address | 6u)
                   : "memory");
}

static uint8_t *at(const struct capsule_memory *memory, const struct capsule_tensor *tensor)
{
    return memory->region[tensor->region] + tensor->offset;
}

void run(void);

void run(void)
{
    const struct capsule *const c = (const struct capsule *)CAPSULE;
    const uint8_t *input = (const uint8_t *)INPUTS;
    const struct capsule_memory memory = { .region = { (uint8_t *)REGION_0, (uint8_t *)REGION_1 } };

    map(0x20000000u, 0x00000000u);
    map(0x40000000u, 0x20000000u);
    c->reset(&memory);
    for (uint32_t i = 0; i < c->input_count; i++) {
        for (uint32_t j = 0; j < c->inputs[i].bytes; j++) {
            at(&memory, &c->inputs[i])[j] = *input++;
        }
    }
    c->invoke(&memory);
    for (uint32_t i = 0; i < c->output_count; i++) {
        call(WRITE, 1, (uint32_t)at(&memory, &c->outputs[i]), c->outputs[i].bytes);
    }
    call(EXIT, 0, 0, 0);
}

__asm(".section .text.start, \"ax\"\n"
      ".globl start\n"
      ".literal_position\n"
      "start: movi a1, 0x40000\n"
      "call0 run\n");
