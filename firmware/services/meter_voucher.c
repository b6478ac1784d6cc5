/* Vouchers as they come. SPDX-License-Identifier: Apache-2.0 */
#include "meter_voucher.h"

#include <string.h>

#define FORM 0x10u
#define FORM_NOT_AFTER 0x01u /* four more bytes */
#define OWN_MIN_BYTES 13u
#define OWN_MAX_BYTES 17u
#define SERIAL_AT 5u
#define QUANTITY_AT 9u
#define NOT_AFTER_AT 13u

#define GROUP_CHARS 8u /* seven of five bits each, and a check */
#define MAX_GROUPS 19u

static const char context[] = "tinyseal voucher";

_Static_assert(sizeof context - 1 == METER_VOUCHER_DEVICE_AT
                   && OWN_MAX_BYTES + ED25519_SIGNATURE_BYTES == METER_VOUCHER_MAX_BYTES
                   && METER_VOUCHER_OWN_AT + OWN_MAX_BYTES
                          == sizeof((struct meter_voucher *)0)->message,
               "in meter_voucher.h");

static inline __attribute__((always_inline)) uint32_t load_le(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

int meter_voucher_read(struct meter_voucher *voucher, const uint8_t *bytes, uint32_t len)
{
    if (len == 0 || (bytes[0] & ~FORM_NOT_AFTER) != FORM) {
        return METER_EFORM;
    }
    const uint32_t own = bytes[0] & FORM_NOT_AFTER ? OWN_MAX_BYTES : OWN_MIN_BYTES;

    if (len != own + ED25519_SIGNATURE_BYTES) {
        return METER_EFORM;
    }
    voucher->serial = load_le(bytes + SERIAL_AT);
    voucher->quantity = load_le(bytes + QUANTITY_AT);
    voucher->not_after =
        bytes[0] & FORM_NOT_AFTER ? load_le(bytes + NOT_AFTER_AT) : UINT32_MAX;
    voucher->signature = bytes + own;
    voucher->signed_bytes = METER_VOUCHER_OWN_AT + own;
    memcpy(voucher->message, context, METER_VOUCHER_DEVICE_AT);
    memcpy(voucher->message + METER_VOUCHER_OWN_AT, bytes, own);
    return voucher->serial > 0 && voucher->quantity > 0 ? 0 : METER_EFORM;
}

/* Crockford's base 32: no I, L, O, U. -1 for what is no digit. */
static int digit_value(char c)
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

    if (c >= 'a' && c <= 'z') {
        c = (char)(c - 'a' + 'A');
    }
    c = c == 'O' ? '0' : (c == 'I' || c == 'L' ? '1' : c);
    for (int i = 0; i < 32; i++) {
        if (digits[i] == c) {
            return i;
        }
    }
    return -1;
}

/* Times a generator of GF(32), x^5 + x^2 + 1: each place of a group weighs another power of it,
 * so any one wrong character and any two that changed places leave a remainder. */
static uint32_t times_alpha(uint32_t x)
{
    return (x << 1) ^ (x & 16 ? 0x25u : 0);
}

int meter_voucher_decode(const char *text, uint32_t chars,
                         uint8_t bytes[METER_VOUCHER_MAX_BYTES], uint32_t *group)
{
    uint32_t digits = 0, check = 0, bits = 0, waiting = 0, count = 0;

    *group = 0;
    for (uint32_t i = 0; i < chars; i++) {
        if (text[i] == '-' || text[i] == ' ') {
            continue;
        }
        const int value = digit_value(text[i]);

        if (value < 0 || digits == MAX_GROUPS * GROUP_CHARS) {
            return METER_EFORM;
        }
        const uint32_t place = digits++ % GROUP_CHARS;

        check = times_alpha(place == 0 ? digits / GROUP_CHARS + 1 : check) ^ (uint32_t)value;
        if (place == GROUP_CHARS - 1) {
            if (check != 0) {
                *group = digits / GROUP_CHARS;
                return METER_ETYPED;
            }
            continue;
        }
        bits = bits << 5 | (uint32_t)value;
        waiting += 5;
        if (waiting >= 8 && count < METER_VOUCHER_MAX_BYTES) {
            waiting -= 8;
            bytes[count++] = (uint8_t)(bits >> waiting);
            bits &= (1u << waiting) - 1;
        }
    }
    /* 18 groups hold 78 bytes, 19 hold 83: what a voucher does not fill is zero. */
    const uint32_t len = count > 0 && (bytes[0] & FORM_NOT_AFTER) ? 81 : 77;

    if (digits % GROUP_CHARS != 0 || digits / GROUP_CHARS != (len == 81 ? 19 : 18) || bits != 0) {
        return METER_EFORM;
    }
    for (uint32_t i = len; i < count; i++) {
        if (bytes[i] != 0) {
            return METER_EFORM;
        }
    }
    return (int)len;
}
