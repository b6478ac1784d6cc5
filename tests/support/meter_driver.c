/* The meter over the simulated flash, for tests that call it from Python.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "flash_sim.h"
#include "meter.h"

#define STORAGE_SECTORS 4u
#define COUNTER_SECTORS 2u

static struct meter meter;
static uint8_t model_id[32], family[32];
static int32_t otp_bits;

int driver_blank(uint32_t erase_bytes, uint32_t program_bytes, uint32_t counter);
int driver_set(uint16_t key, const void *value, uint32_t len);
int driver_get(uint16_t key, void *value, uint32_t cap);
int driver_mount(const uint8_t *model, const uint8_t *of_family, uint32_t endurance,
                 uint32_t queries_per_bit, uint32_t bits);
int driver_charge(void);
int driver_reserve(uint32_t count);
uint32_t driver_balance(void);
uint32_t driver_counter(void);
int driver_redeem(const uint8_t *bytes, uint32_t len);
int driver_redeem_text(const char *text, uint32_t *group);
int driver_receipt(uint32_t have, uint8_t *receipt);
uint32_t driver_flash_bytes(void);
void driver_read(uint8_t *image);
void driver_write(const uint8_t *image);
int32_t driver_burnt(void);
uint32_t driver_struct_bytes(void);

static int32_t burnt(void)
{
    return otp_bits;
}

static int burn(void)
{
    otp_bits++;
    return 0;
}

static struct hal_otp otp = { .burnt = burnt, .burn = burn };

static struct nv_area storage_area(void)
{
    return (struct nv_area){ &flash_sim, COUNTER_SECTORS * flash_sim.erase_bytes,
                             STORAGE_SECTORS * flash_sim.erase_bytes };
}

static struct nv_counter queries(uint32_t endurance)
{
    return (struct nv_counter){ .area = { &flash_sim, 0,
                                          COUNTER_SECTORS * flash_sim.erase_bytes },
                                .endurance_cycles = endurance };
}

int driver_blank(uint32_t erase_bytes, uint32_t program_bytes, uint32_t counter)
{
    flash_sim_configure((COUNTER_SECTORS + STORAGE_SECTORS) * erase_bytes, erase_bytes,
                        program_bytes);
    otp_bits = 0;
    struct nv_counter started = queries(1);

    return nv_counter_format(&started, counter);
}

int driver_set(uint16_t key, const void *value, uint32_t len)
{
    struct nv_kv kv = { .area = storage_area() };
    const int err = nv_kv_mount(&kv);

    return err ? err : nv_kv_set(&kv, key, value, len);
}

int driver_get(uint16_t key, void *value, uint32_t cap)
{
    struct nv_kv kv = { .area = storage_area() };
    uint32_t len;
    int err = nv_kv_mount(&kv);

    err = err ? err : nv_kv_get(&kv, key, value, cap, &len);
    return err ? err : (int)len;
}

int driver_mount(const uint8_t *model, const uint8_t *of_family, uint32_t endurance,
                 uint32_t queries_per_bit, uint32_t bits)
{
    memcpy(model_id, model, sizeof model_id);
    memcpy(family, of_family, sizeof family);
    otp.bits = bits;
    meter = (struct meter){
        .queries = queries(endurance),
        .storage = { .area = storage_area() },
        .otp = bits ? &otp : 0,
        .queries_per_bit = queries_per_bit,
    };
    return meter_mount(&meter, model_id, family);
}

int driver_charge(void)
{
    return meter_charge(&meter);
}

int driver_reserve(uint32_t count)
{
    return meter_reserve(&meter, count);
}

uint32_t driver_balance(void)
{
    return meter_balance(&meter);
}

uint32_t driver_counter(void)
{
    return nv_counter_value(&meter.queries);
}

int driver_redeem(const uint8_t *bytes, uint32_t len)
{
    return meter_redeem(&meter, bytes, len);
}

int driver_redeem_text(const char *text, uint32_t *group)
{
    return meter_redeem_text(&meter, text, (uint32_t)strlen(text), group);
}

int driver_receipt(uint32_t have, uint8_t *receipt)
{
    return meter_receipt(&meter, have, receipt);
}

uint32_t driver_flash_bytes(void)
{
    return flash_sim.bytes;
}

void driver_read(uint8_t *image)
{
    flash_sim.read(0, image, flash_sim.bytes);
}

/* As a programmer in the owner's hands would: any bytes, anywhere. */
void driver_write(const uint8_t *image)
{
    const uint32_t unit = flash_sim.program_bytes;

    flash_sim_erase_all();
    for (uint32_t at = 0; at < flash_sim.bytes; at += unit) {
        for (uint32_t i = 0; i < unit; i++) {
            if (image[at + i] != 0xff) {
                flash_sim.program(at, image + at, unit);
                break;
            }
        }
    }
}

int32_t driver_burnt(void)
{
    return otp_bits;
}

/* What the meter takes of RAM besides its counter. */
uint32_t driver_struct_bytes(void)
{
    return (uint32_t)(sizeof meter - sizeof meter.queries);
}
