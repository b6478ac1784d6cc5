/* Text to the console. SPDX-License-Identifier: Apache-2.0 */
#include "out.h"

#include <string.h>

#include "hal.h"

#define FLOAT_LIMIT ((uint64_t)1 << 29)

void out_chars(const char *chars, size_t len)
{
    hal.uart->write(chars, len);
}

void out_text(const char *text)
{
    out_chars(text, strlen(text));
}

void out_name(const char *text)
{
    for (; *text != '\0'; text++) {
        const char shown = *text >= ' ' && *text <= '~' ? *text : '?';

        out_chars(&shown, 1);
    }
}

void out_u64(uint64_t value)
{
    char digits[20];
    size_t first = sizeof digits;

    do {
        digits[--first] = (char)('0' + (int)(value % 10));
        value /= 10;
    } while (value > 0);
    out_chars(digits + first, sizeof digits - first);
}

void out_i32(int32_t value)
{
    if (value < 0) {
        out_text("-");
    }
    out_u64(value < 0 ? (uint64_t)-(int64_t)value : (uint64_t)value);
}

void out_hex(uint32_t value, unsigned digits)
{
    while (digits > 0) {
        digits--;
        out_chars(&"0123456789abcdef"[(value >> (4 * digits)) & 15], 1);
    }
}

/* |value| * 1000, rounded half to even: exact, since a float is mantissa * 2^exponent. */
static uint64_t thousandths(uint32_t bits)
{
    const int32_t biased = (int32_t)((bits >> 23) & 0xff);
    const uint64_t mantissa = (bits & 0x7fffffu) | (biased > 0 ? 0x800000u : 0);
    const int32_t exponent = (biased > 0 ? biased : 1) - 150;
    const uint64_t scaled = mantissa * 1000; /* < 2^34 */

    if (exponent >= 29 - 23) {
        return FLOAT_LIMIT * 1000;
    }
    if (exponent >= 0) {
        return scaled << exponent;
    }
    if (exponent < -35) {
        return 0; /* below half of a thousandth: scaled / 2^36 < 0.25 */
    }
    const uint64_t half = (uint64_t)1 << (-exponent - 1);
    const uint64_t whole = scaled >> -exponent;
    const uint64_t rest = scaled & (2 * half - 1);

    return whole + (rest > half || (rest == half && (whole & 1)) ? 1 : 0);
}

void out_float3(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    const uint64_t scaled = thousandths(bits);
    const uint32_t fraction = (uint32_t)(scaled % 1000);

    if (bits >> 31) {
        out_text("-");
    }
    out_u64(scaled / 1000);
    out_text(fraction < 10 ? ".00" : (fraction < 100 ? ".0" : "."));
    out_u64(fraction);
}

void out_end(void)
{
    out_text("\r\n");
}
