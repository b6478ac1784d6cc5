/* Counts bits that differ, by words or by vectors of them: NN_BIN_WORD says which, uint32_t or a
 * vector of it, before this is included. SPDX-License-Identifier: Apache-2.0
 *
 * No microcontroller here has a popcount instruction. Long runs go through carry-save adders:
 * eight words become one word of weight eight, and only its bits are counted (Harley and Seal's
 * popcount; Warren, Hacker's Delight, 2nd edition, section 5-1): 9 instructions a word on a
 * Cortex-M4, where counting every word takes 16. */
#ifndef NN_BIN_COUNT_H
#define NN_BIN_COUNT_H

#include <stdint.h>

#define NN_BIN_BLOCK 8

/* A full adder on 32 columns at once: a + b + c == 2 * carry + sum. */
static inline NN_BIN_WORD nn_bin_count_add(NN_BIN_WORD a, NN_BIN_WORD b, NN_BIN_WORD c,
                                           NN_BIN_WORD *sum)
{
    const NN_BIN_WORD half = a ^ b;

    *sum = half ^ c;
    return (a & b) | (half & c);
}

/* The set bits of each nibble, at most 4. */
static inline NN_BIN_WORD nn_bin_count_nibbles(NN_BIN_WORD x)
{
    x -= (x >> 1) & 0x55555555u;
    return (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
}

/* The set bits of each byte, at most 8. */
static inline NN_BIN_WORD nn_bin_count_bytes(NN_BIN_WORD x)
{
    x = nn_bin_count_nibbles(x);
    return (x + (x >> 4)) & 0x0f0f0f0fu;
}

/* The sum of four bytes, each up to 255. */
static inline NN_BIN_WORD nn_bin_count_sum(NN_BIN_WORD x)
{
    x = (x & 0x00ff00ffu) + ((x >> 8) & 0x00ff00ffu);
    return (x + (x >> 16)) & 0xffffu;
}

/* The set bits of a ^ b over n words; of lanes, each against the same a. */
static inline NN_BIN_WORD nn_bin_count_differences(const uint32_t *a, const NN_BIN_WORD *b,
                                                   int32_t n)
{
    NN_BIN_WORD total = { 0 };
    NN_BIN_WORD bytes = { 0 };

    /* Less than two blocks would not pay for counting ones, twos and fours at the end. */
    if (n >= 2 * NN_BIN_BLOCK) {
        NN_BIN_WORD ones = { 0 };
        NN_BIN_WORD twos = { 0 };
        NN_BIN_WORD fours = { 0 };

        do {
            /* At most 31 blocks: no byte of the sum passes 31 * 8 = 248. */
            int32_t blocks = n < 32 * NN_BIN_BLOCK ? n / NN_BIN_BLOCK : 31;
            NN_BIN_WORD eights = { 0 };

            n -= blocks * NN_BIN_BLOCK;
            do {
                NN_BIN_WORD low = nn_bin_count_add(ones, a[0] ^ b[0], a[1] ^ b[1], &ones);
                NN_BIN_WORD high = nn_bin_count_add(ones, a[2] ^ b[2], a[3] ^ b[3], &ones);
                const NN_BIN_WORD first = nn_bin_count_add(twos, low, high, &twos);

                low = nn_bin_count_add(ones, a[4] ^ b[4], a[5] ^ b[5], &ones);
                high = nn_bin_count_add(ones, a[6] ^ b[6], a[7] ^ b[7], &ones);
                low = nn_bin_count_add(twos, low, high, &twos);
                eights += nn_bin_count_bytes(nn_bin_count_add(fours, first, low, &fours));
                a += NN_BIN_BLOCK;
                b += NN_BIN_BLOCK;
            } while (--blocks > 0);
            total += 8 * nn_bin_count_sum(eights);
        } while (n >= NN_BIN_BLOCK);
        bytes = nn_bin_count_bytes(ones) + 2 * nn_bin_count_bytes(twos) +
                4 * nn_bin_count_bytes(fours);
    }
    /* Three words at a time, then one. Bytes reach 8 + 16 + 32 and 15 * 8 at most. */
    for (; n >= 3; n -= 3) {
        NN_BIN_WORD ones;
        const NN_BIN_WORD twos = nn_bin_count_add(a[0] ^ b[0], a[1] ^ b[1], a[2] ^ b[2], &ones);
        const NN_BIN_WORD nibbles = nn_bin_count_nibbles(ones) + 2 * nn_bin_count_nibbles(twos);

        bytes += (nibbles & 0x0f0f0f0fu) + ((nibbles >> 4) & 0x0f0f0f0fu);
        a += 3;
        b += 3;
    }
    for (; n > 0; n--) {
        bytes += nn_bin_count_bytes(*a++ ^ *b++);
    }
    return total + nn_bin_count_sum(bytes);
}

#endif
