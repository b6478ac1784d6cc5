/* What an ESP8266 keeps in ROM, and Debian's compiler library for its core therefore lacks:
 * 64-bit and single-precision arithmetic the compiler calls. SPDX-License-Identifier: Apache-2.0
 *
 * Names and meanings are GCC's (GCC Internals, "The GCC low-level runtime library"). Floats are
 * IEEE 754 binary32, rounded to nearest, ties to even, with subnormals; a NaN result is quiet. */
#include <stdint.h>
#include <string.h>

#define SIGN 0x80000000u
#define INFINITY_BITS 0x7f800000u
#define QUIET_NAN 0x7fc00000u
#define HIDDEN 0x00800000u
#define FRACTION 0x007fffffu

/* GCC names these by types of its own: si int32_t, di int64_t, sf float. */
uint64_t __umulsidi3(uint32_t a, uint32_t b);
int64_t __muldi3(int64_t a, int64_t b);
uint32_t __udivsi3(uint32_t n, uint32_t d);
uint32_t __umodsi3(uint32_t n, uint32_t d);
int32_t __divsi3(int32_t n, int32_t d);
int32_t __modsi3(int32_t n, int32_t d);
uint64_t __udivdi3(uint64_t n, uint64_t d);
uint64_t __umoddi3(uint64_t n, uint64_t d);
int64_t __divdi3(int64_t n, int64_t d);
float __addsf3(float a, float b);
float __subsf3(float a, float b);
float __mulsf3(float a, float b);
float __floatsisf(int32_t a);
float __floatunsisf(uint32_t a);
uint32_t __fixunssfsi(float a);

static uint32_t bits_of(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t join(uint32_t high, uint32_t low)
{
    const uint32_t words[2] = { low, high }; /* little-endian */
    uint64_t value;

    memcpy(&value, words, sizeof value);
    return value;
}

uint64_t __umulsidi3(uint32_t a, uint32_t b)
{
    const uint32_t a0 = a & 0xffffu, a1 = a >> 16;
    const uint32_t b0 = b & 0xffffu, b1 = b >> 16;
    const uint32_t low = a0 * b0;
    const uint32_t mid = a1 * b0 + (low >> 16);      /* <= (2^16 - 1)^2 + 2^16 - 1 */
    const uint32_t mid2 = a0 * b1 + (mid & 0xffffu); /* likewise */

    return join(a1 * b1 + (mid >> 16) + (mid2 >> 16), (mid2 << 16) | (low & 0xffffu));
}

int64_t __muldi3(int64_t a, int64_t b)
{
    const uint32_t a0 = (uint32_t)a, a1 = (uint32_t)((uint64_t)a >> 32);
    const uint32_t b0 = (uint32_t)b, b1 = (uint32_t)((uint64_t)b >> 32);
    const uint64_t low = __umulsidi3(a0, b0);

    return (int64_t)join((uint32_t)(low >> 32) + a0 * b1 + a1 * b0, (uint32_t)low);
}

/* Long division, one bit a round. Dividing by zero gives all ones and the dividend. */
static uint32_t divide32(uint32_t n, uint32_t d, uint32_t *rest)
{
    uint32_t quotient = 0, remainder = 0;

    for (uint32_t bit = SIGN; bit; bit >>= 1) {
        const uint32_t carry = remainder >> 31;

        remainder = (remainder << 1) | (n & bit ? 1u : 0u);
        if (carry || remainder >= d) {
            remainder -= d;
            quotient |= bit;
        }
    }
    *rest = remainder;
    return quotient;
}

static uint64_t divide64(uint64_t n, uint64_t d, uint64_t *rest)
{
    uint64_t quotient = 0, remainder = 0;

    if (n >> 32 == 0 && d >> 32 == 0) {
        uint32_t rest32;

        quotient = divide32((uint32_t)n, (uint32_t)d, &rest32);
        *rest = rest32;
        return quotient;
    }
    for (uint64_t bit = (uint64_t)1 << 63; bit; bit >>= 1) {
        const uint64_t carry = remainder >> 63;

        remainder = (remainder << 1) | (n & bit ? 1u : 0u);
        if (carry || remainder >= d) {
            remainder -= d;
            quotient |= bit;
        }
    }
    *rest = remainder;
    return quotient;
}

uint32_t __udivsi3(uint32_t n, uint32_t d)
{
    uint32_t rest;

    return divide32(n, d, &rest);
}

uint32_t __umodsi3(uint32_t n, uint32_t d)
{
    uint32_t rest;

    (void)divide32(n, d, &rest);
    return rest;
}

int32_t __divsi3(int32_t n, int32_t d)
{
    uint32_t rest;
    const uint32_t quotient = divide32(n < 0 ? 0u - (uint32_t)n : (uint32_t)n,
                                       d < 0 ? 0u - (uint32_t)d : (uint32_t)d, &rest);

    return (int32_t)((n < 0) != (d < 0) ? 0u - quotient : quotient);
}

int32_t __modsi3(int32_t n, int32_t d)
{
    uint32_t rest;

    (void)divide32(n < 0 ? 0u - (uint32_t)n : (uint32_t)n, d < 0 ? 0u - (uint32_t)d : (uint32_t)d,
                   &rest);
    return (int32_t)(n < 0 ? 0u - rest : rest);
}

uint64_t __udivdi3(uint64_t n, uint64_t d)
{
    uint64_t rest;

    return divide64(n, d, &rest);
}

uint64_t __umoddi3(uint64_t n, uint64_t d)
{
    uint64_t rest;

    (void)divide64(n, d, &rest);
    return rest;
}

int64_t __divdi3(int64_t n, int64_t d)
{
    uint64_t rest;
    const uint64_t quotient = divide64(n < 0 ? 0u - (uint64_t)n : (uint64_t)n,
                                       d < 0 ? 0u - (uint64_t)d : (uint64_t)d, &rest);

    return (int64_t)((n < 0) != (d < 0) ? 0u - quotient : quotient);
}

/* Rounds mantissa * 2^(exponent - 30), mantissa in [2^30, 2^31) with a sticky lowest bit, and
 * packs it. `exponent` is biased as the format's; 0 and less give subnormals. */
static float pack(uint32_t sign, int32_t exponent, uint32_t mantissa)
{
    if (exponent >= 255) {
        return float_of(sign | INFINITY_BITS);
    }
    if (exponent <= 0) {
        const uint32_t shift = 1u - (uint32_t)exponent;

        mantissa = shift > 31 ? 1u
                              : (mantissa >> shift) | ((mantissa << (32 - shift)) != 0 ? 1u : 0u);
        exponent = 0;
    }
    const uint32_t rest = mantissa & 0x7fu;

    mantissa >>= 7;
    if (rest > 0x40u || (rest == 0x40u && (mantissa & 1u))) {
        mantissa++; /* may carry into the exponent, which is then right */
    }
    return float_of(sign |
                    (exponent == 0 ? mantissa : ((uint32_t)exponent << 23) + mantissa - HIDDEN));
}

/* Fraction with its hidden bit, and the exponent that goes with it; subnormals have exponent 1. */
static uint32_t unpack(uint32_t bits, int32_t *exponent)
{
    const int32_t biased = (int32_t)((bits & ~SIGN) >> 23);

    *exponent = biased > 0 ? biased : 1;
    return (bits & FRACTION) | (biased > 0 ? HIDDEN : 0u);
}

static float normalize_and_pack(uint32_t sign, int32_t exponent, uint32_t mantissa)
{
    while (mantissa < 0x40000000u) {
        mantissa <<= 1;
        exponent--;
    }
    return pack(sign, exponent, mantissa);
}

float __addsf3(float a, float b)
{
    uint32_t big = bits_of(a), small = bits_of(b);

    if ((big & ~SIGN) < (small & ~SIGN)) {
        const uint32_t swap = big;

        big = small;
        small = swap;
    }
    if ((big & ~SIGN) > INFINITY_BITS ||
        ((big & ~SIGN) == INFINITY_BITS && small == (big ^ SIGN))) {
        return float_of(QUIET_NAN);
    }
    if ((big & ~SIGN) == INFINITY_BITS) {
        return float_of(big);
    }
    int32_t exponent, lower;
    uint32_t sum = unpack(big, &exponent) << 6;
    uint32_t addend = unpack(small, &lower) << 6;
    const uint32_t shift = (uint32_t)(exponent - lower);

    if (shift > 0) {
        addend = shift > 31 ? (addend ? 1u : 0u)
                            : (addend >> shift) | ((addend << (32 - shift)) != 0 ? 1u : 0u);
    }
    sum = (big ^ small) & SIGN ? sum - addend : sum + addend; /* < 2^31 */
    if (sum == 0) {
        return float_of(big & small & SIGN); /* -0 only if both are */
    }
    return normalize_and_pack(big & SIGN, exponent + 1, sum);
}

float __subsf3(float a, float b)
{
    return __addsf3(a, float_of(bits_of(b) ^ SIGN));
}

float __mulsf3(float a, float b)
{
    const uint32_t x = bits_of(a), y = bits_of(b);
    const uint32_t sign = (x ^ y) & SIGN;
    const uint32_t x_size = x & ~SIGN, y_size = y & ~SIGN;

    if (x_size > INFINITY_BITS || y_size > INFINITY_BITS) {
        return float_of(QUIET_NAN);
    }
    if (x_size == INFINITY_BITS || y_size == INFINITY_BITS) {
        return float_of(x_size == 0 || y_size == 0 ? QUIET_NAN : sign | INFINITY_BITS);
    }
    if (x_size == 0 || y_size == 0) {
        return float_of(sign);
    }
    int32_t x_exponent, y_exponent;
    uint32_t x_fraction = unpack(x, &x_exponent), y_fraction = unpack(y, &y_exponent);

    for (; x_fraction < HIDDEN; x_exponent--) {
        x_fraction <<= 1;
    }
    for (; y_fraction < HIDDEN; y_exponent--) {
        y_fraction <<= 1;
    }
    /* Both in [2^23, 2^24): the product is in [2^46, 2^48), so its upper part, of units of
     * 2^16, in [2^30, 2^32). */
    const uint64_t product = __umulsidi3(x_fraction, y_fraction);
    const uint32_t low = (uint32_t)product & 0xffffu;
    uint32_t mantissa = ((uint32_t)(product >> 32) << 16) | ((uint32_t)product >> 16);
    int32_t exponent = x_exponent + y_exponent - 127;
    uint32_t sticky = low != 0;

    if (mantissa >= SIGN) {
        sticky |= mantissa & 1u;
        mantissa >>= 1;
        exponent++;
    }
    return pack(sign, exponent, mantissa | sticky);
}

float __floatunsisf(uint32_t a)
{
    if (a == 0) {
        return 0.0f;
    }
    if (a >= SIGN) {
        return pack(0, 127 + 31, (a >> 1) | (a & 1u));
    }
    return normalize_and_pack(0, 127 + 30, a);
}

float __floatsisf(int32_t a)
{
    const float size = __floatunsisf(a < 0 ? 0u - (uint32_t)a : (uint32_t)a);

    return a < 0 ? float_of(bits_of(size) | SIGN) : size;
}

uint32_t __fixunssfsi(float a)
{
    const uint32_t bits = bits_of(a);
    int32_t exponent;
    const uint32_t fraction = unpack(bits, &exponent);
    const int32_t shift = exponent - 150;

    if (bits & SIGN || shift < -23) {
        return 0;
    }
    return shift > 8 ? UINT32_MAX : (shift >= 0 ? fraction << shift : fraction >> -shift);
}
