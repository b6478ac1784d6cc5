/* Monocypher, with its arithmetic modulo p = 2^255 - 19 in loops.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Monocypher unrolls by hand, for speed, and half of what a signature check takes in flash is
 * that. monocypher_frame.c is Monocypher without those functions (the build cuts them out); here
 * they are again, with the same preconditions and the same results, and as there without a branch
 * or an index that depends on data. A field element is ten limbs of 26 and 25 bits in turn;
 * limb i counts 2^ceil(25.5 i). */
#include <monocypher_frame.c>

#define LIMBS 10

/* Where limb i begins, in bits. With what precedes it in its byte it takes 32 bits or less. */
static unsigned position(unsigned i)
{
    return (51 * i + 1) / 2;
}

/* Leaves `bits` bits of t in *limb, with a sign, and returns the rest. */
static i64 split(i32 *limb, i64 t, unsigned bits)
{
    const i64 rest = (t + ((i64)1 << (bits - 1))) >> bits;

    *limb = (i32)((u32)t - ((u32)rest << bits));
    return rest;
}

/* |t[i]| < 2^62. Afterwards |h[i]| <= 2^25 (i even) or 2^24 (i odd), h[1]
 * 2^17 more: what is left over at the top is below 2^38 and counts 19 at the bottom, so 2^43,
 * of which limb 1 gets 2^-26. */
static void fe_carry(fe h, const i64 t[LIMBS])
{
    i64 top = 0;

    for (unsigned i = 0; i < LIMBS; i += 2) {
        top = split(&h[i + 1], t[i + 1] + split(&h[i], t[i] + top, 26), 25);
    }
    h[1] += (i32)split(&h[0], h[0] + top * 19, 26);
}

static void fe_frombytes_mask(fe h, const u8 s[32], unsigned nb_mask)
{
    i64 t[LIMBS];

    for (unsigned i = 0; i < LIMBS; i++) {
        const unsigned at = position(i);
        const unsigned bits = i < LIMBS - 1 ? 26 - i % 2 : 26 - nb_mask;

        t[i] = (load32_le(s + at / 8) >> at % 8) & (((u32)1 << bits) - 1);
    }
    fe_carry(h, t);
}

/* |h| < p, so that q, what its top half and all carries below it come to, is 0 or, where h is
 * negative, -1: then p is added, that is 19 less and nothing above bit 255. */
static void fe_tobytes(u8 s[32], const fe h)
{
    i32 q = (19 * h[LIMBS - 1] + ((i32)1 << 24)) >> 25;

    for (unsigned i = 0; i < LIMBS; i++) {
        q = (q + h[i]) >> (26 - i % 2);
    }
    q *= 19;
    ZERO(s, 32);
    for (unsigned i = 0; i < LIMBS; i++) {
        u8 *const word = s + position(i) / 8;
        const unsigned bits = 26 - i % 2;

        q += h[i];
        store32_le(word, load32_le(word)
                             | ((u32)q & (((u32)1 << bits) - 1)) << position(i) % 8);
        q >>= bits;
    }
}

/* f = g where b is 1. The mask is volatile lest the compiler make a branch of it. */
static void fe_ccopy(fe f, const fe g, int b)
{
    const volatile i32 mask = -b;

    for (unsigned i = 0; i < LIMBS; i++) {
        f[i] ^= (f[i] ^ g[i]) & mask;
    }
}

/* |f[i]| as for fe_mul(), |g| < 2^31. */
static void fe_mul_small(fe h, const fe f, i32 g)
{
    i64 t[LIMBS];

    for (unsigned i = 0; i < LIMBS; i++) {
        t[i] = f[i] * (i64)g;
    }
    fe_carry(h, t);
}

/* |f[i]|, |g[i]| < 1.65 * 2^26 (i even) or 1.65 * 2^25 (i odd). Limb k of the product is the sum
 * of f[i] * g[k - i]: twice that where i and k - i are odd, since both limbs begin half a bit
 * too high; 19 times where k - i is negative, since 2^255 is 19. Each sum is below 2^62, as
 * Monocypher's comments show. */
static void fe_mul(fe h, const fe f, const fe g)
{
    i32 f_doubled[LIMBS]; /* odd limbs are */
    i32 g_wrapped[2 * LIMBS];
    i64 t[LIMBS];

    for (unsigned i = 0; i < LIMBS; i++) {
        f_doubled[i] = f[i] * (i32)(1 + i % 2);
        g_wrapped[i] = g[i] * 19;
        g_wrapped[LIMBS + i] = g[i];
    }
    for (unsigned k = 0; k < LIMBS; k++) {
        const i32 *const a = k % 2 == 0 ? f_doubled : f;
        const i32 *const b = g_wrapped + LIMBS + k;

        t[k] = a[0] * (i64)b[0] + a[1] * (i64)b[-1] + a[2] * (i64)b[-2] + a[3] * (i64)b[-3]
               + a[4] * (i64)b[-4] + a[5] * (i64)b[-5] + a[6] * (i64)b[-6]
               + a[7] * (i64)b[-7] + a[8] * (i64)b[-8] + a[9] * (i64)b[-9];
    }
    fe_carry(h, t);
}

static void fe_sq(fe h, const fe f)
{
    fe_mul(h, f, f);
}

/* h = f^(2^n) * g, n at least 1; they may be one. */
static void power(fe h, const fe f, unsigned n, const fe g)
{
    fe t;

    fe_copy(t, f);
    for (; n > 0; n--) {
        fe_sq(t, t);
    }
    fe_mul(h, t, g);
}

/* As Monocypher's, whose comment has the proof: 1 if x is a square or zero. */
static int invsqrt(fe isr, const fe x)
{
    fe root, quartic, check;

    /* root = x^((p - 5) / 8) = x^(4 (2^250 - 1) + 1): x^(2^k - 1) for k = 1, 3, 7, 15, 31, 62,
     * 125, 250, the leading bits of 250, by doubling k and adding one. */
    fe_copy(root, x);
    for (unsigned bit = 7; bit-- > 0;) {
        power(root, root, 250 >> (bit + 1), root);
        if (250 >> bit & 1) {
            power(root, root, 1, x);
        }
    }
    power(root, root, 2, x);
    power(quartic, root, 1, x); /* x^((p - 1) / 4) */

    fe_0(check);
    const int is_zero = fe_isequal(x, check);
    fe_1(check);
    const int is_one = fe_isequal(quartic, check);
    fe_neg(check, check);
    const int is_minus_one = fe_isequal(quartic, check);
    fe_neg(check, sqrtm1);
    const int is_minus_sqrtm1 = fe_isequal(quartic, check);

    fe_mul(isr, root, sqrtm1);
    fe_ccopy(isr, root, 1 - (is_minus_one | is_minus_sqrtm1));
    WIPE_BUFFER(root);
    WIPE_BUFFER(quartic);
    WIPE_BUFFER(check);
    return is_zero | is_one | is_minus_one;
}
