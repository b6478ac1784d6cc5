/* Weights times columns, two channels by four pixels at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#include "nn_tuned_product.h"

#define PIXELS NN_TUNED_PRODUCT_PIXELS
#define START_WORDS 2 /* of a pair: before its weights */
#define SCALE_WORDS 6 /* and behind them */

/* A run of pairs; the assembly keeps it on the stack and knows the order. */
struct run {
    const uint32_t *columns;
    int32_t entry;           /* bytes of the unrolled steps to leave out the first time */
    const uint32_t *columns_end;
    const int32_t *pairs_end;
    int8_t *out;
    int32_t away[PIXELS - 1]; /* bytes from the first pixel's outputs to the others' */
    int32_t is_rectified;
};

#if defined(__ARM_FEATURE_DSP)

/* The block takes all fourteen registers, so nothing is left to count with: its steps are
 * unrolled, 13 instructions for 16 products, and entered where as many remain as there are
 * to do. Each instruction has four bytes. Sums of channel a are r4 to r7, of b r8 to r11. */
#define UNROLLED 32
#define STEP_BYTES 52
#define STEP                              \
    "ldr.w  r12, [r1], #4\n\t"            \
    "ldrd   r2, r3, [r0], #8\n\t"         \
    "sxtb16.w lr, r12, ror #8\n\t"        \
    "sxtb16.w r12, r12\n\t"               \
    "smlad  r4, r12, r2, r4\n\t"          \
    "smlad  r5, r12, r3, r5\n\t"          \
    "smlad  r8, lr, r2, r8\n\t"           \
    "smlad  r9, lr, r3, r9\n\t"           \
    "ldrd   r2, r3, [r0], #8\n\t"         \
    "smlad  r6, r12, r2, r6\n\t"          \
    "smlad  r7, r12, r3, r7\n\t"          \
    "smlad  r10, lr, r2, r10\n\t"         \
    "smlad  r11, lr, r3, r11\n\t"
/* Written out, not with .rept: the compiler counts lines to know how far it branches. */
#define FOUR(x) x x x x
#define STEPS FOUR(FOUR(STEP)) FOUR(FOUR(STEP))

/* nn_tuned_requant but for its store: multiplier r2, rounding r3, shift r12. */
#define SIGNED(s)                         \
    "lsl    " s ", " s ", #1\n\t"         \
    "add    lr, r3, " s ", asr #31\n\t"   \
    "smmlar " s ", " s ", r2, lr\n\t"     \
    "asr    " s ", " s ", r12\n\t"        \
    "ssat   " s ", #8, " s "\n\t"
#define RECTIFIED(s)                      \
    "lsl    " s ", " s ", #1\n\t"         \
    "smmlar " s ", " s ", r2, r3\n\t"     \
    "asr    " s ", " s ", r12\n\t"        \
    "ssat   " s ", #8, " s "\n\t"
#define EIGHT(ROUND)                      \
    ROUND("r4") ROUND("r5") ROUND("r6") ROUND("r7")   \
    "ldm    r1!, {r2, r3, r12}\n\t"       \
    ROUND("r8") ROUND("r9") ROUND("r10") ROUND("r11")

static __attribute__((noinline)) void run_pairs(const struct run *run, const int32_t *pairs)
{
    register const struct run *r0 __asm__("r0") = run;
    register const int32_t *r1 __asm__("r1") = pairs;

    __asm__ volatile(
        "ldm    r0, {r4-r12}\n\t"
        "adr.w  r2, 3f\n\t"
        "adr.w  r3, 4f\n\t"
        "cmp    r12, #0\n\t"
        "it     ne\n\t"
        "movne  r2, r3\n\t"
        "orr    r12, r2, #1\n\t"
        "push   {r4-r12}\n"
        "1:\n\t"
        "ldrd   r4, r8, [r1], #8\n\t"
        "ldrd   r0, r2, [sp]\n\t"            /* columns, entry */
        "mov    r5, r4\n\t"
        "mov    r6, r4\n\t"
        "mov    r7, r4\n\t"
        "mov    r9, r8\n\t"
        "mov    r10, r8\n\t"
        "mov    r11, r8\n\t"
        "add    pc, r2\n\t"                  /* pc is four bytes ahead: behind the nop */
        "nop\n"
        "2:\n\t"
        STEPS
        "ldr    r2, [sp, #8]\n\t"            /* their end */
        "cmp    r0, r2\n\t"
        "bne    2b\n\t"
        "ldm    r1!, {r2, r3, r12}\n\t"
        "ldr    pc, [sp, #32]\n"
        "3:\n\t"
        EIGHT(SIGNED)
        "b      5f\n"
        "4:\n\t"
        EIGHT(RECTIFIED)
        "5:\n\t"
        "ldrd   r0, r12, [sp, #16]\n\t"      /* out, away */
        "ldrd   r2, r3, [sp, #24]\n\t"
        "strb   r4, [r0]\n\t"
        "strb   r5, [r0, r12]\n\t"
        "strb   r6, [r0, r2]\n\t"
        "strb   r7, [r0, r3]\n\t"
        "adds   r0, #1\n\t"
        "strb   r8, [r0]\n\t"
        "strb   r9, [r0, r12]\n\t"
        "strb   r10, [r0, r2]\n\t"
        "strb   r11, [r0, r3]\n\t"
        "adds   r0, #1\n\t"
        "str    r0, [sp, #16]\n\t"
        "ldr    r0, [sp, #12]\n\t"           /* the pairs' end */
        "cmp    r1, r0\n\t"
        "bne    1b\n\t"
        "add    sp, sp, #36"
        : "+r"(r0), "+r"(r1)
        :
        : "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "lr",
          "cc", "memory");
}

#else

#define UNROLLED 1
#define STEP_BYTES 0

static void run_pairs(const struct run *run, const int32_t *pairs)
{
    const int32_t steps = (int32_t)(run->columns_end - run->columns) / PIXELS;
    int8_t *out = run->out;

    for (; pairs < run->pairs_end; pairs += START_WORDS + steps + SCALE_WORDS) {
        for (int32_t channel = 0; channel < 2; channel++, out++) {
            const int32_t *const scale = pairs + START_WORDS + steps + 3 * channel;

            for (int32_t pixel = 0; pixel < PIXELS; pixel++) {
                int32_t acc = pairs[channel];

                for (int32_t step = 0; step < steps; step++) {
                    const uint32_t w = (uint32_t)pairs[START_WORDS + step];

                    acc = nn_dsp_dot(channel ? nn_dsp_odd(w) : nn_dsp_even(w),
                                     run->columns[step * PIXELS + pixel], acc);
                }
                out[pixel ? run->away[pixel - 1] : 0] =
                    nn_tuned_requant(acc * 2, scale[0], scale[1], scale[2]);
            }
        }
    }
}

#endif

/* All channels of up to four pixels: behind the last one, that one again. */
static void product_4(const struct nn_tuned_product *op, const uint32_t *columns, int32_t count,
                      int8_t *out)
{
    const int32_t steps = op->depth / 2;
    const int32_t pair_words = START_WORDS + steps + SCALE_WORDS;
    const int32_t even = op->out_ch / 2;
    const int32_t *const last = op->pairs + even * pair_words;
    struct run run = {
        .columns = columns,
        .entry = (-steps & (UNROLLED - 1)) * STEP_BYTES,
        .columns_end = columns + steps * PIXELS,
        .pairs_end = last,
        .out = out,
        .away = { op->out_ch, op->out_ch * (count > 2 ? 2 : 1),
                  op->out_ch * (count > 3 ? 3 : count - 1) },
        .is_rectified = op->is_rectified,
    };

    run_pairs(&run, op->pairs);
    if (op->out_ch & 1) {
        run.pairs_end = last + pair_words;
        run.out = out + op->out_ch - 2;
        run_pairs(&run, last);
    }
}

static void product_1(const struct nn_tuned_product *op, const uint32_t *columns,
                      int8_t *out)
{
    const int32_t steps = op->depth / 2;
    const uint32_t *const end = columns + steps * PIXELS;
    const int32_t *pair = op->pairs;

    for (int32_t left = op->out_ch; left > 0; left -= 2) {
        int32_t a = pair[0];
        int32_t b = pair[1];

        pair += START_WORDS;
        for (const uint32_t *x = columns; x < end; x += 2 * PIXELS, pair += 2) {
            const uint32_t w0 = (uint32_t)pair[0];
            const uint32_t w1 = (uint32_t)pair[1];

            a = nn_dsp_dot(nn_dsp_even(w0), x[0], a);
            b = nn_dsp_dot(nn_dsp_odd(w0), x[0], b);
            a = nn_dsp_dot(nn_dsp_even(w1), x[PIXELS], a);
            b = nn_dsp_dot(nn_dsp_odd(w1), x[PIXELS], b);
        }
        if (left > 1) {
            out[0] = nn_tuned_requant(a * 2, pair[0], pair[1], pair[2]);
            out++;
        }
        out[0] = nn_tuned_requant(b * 2, pair[3], pair[4], pair[5]);
        out++;
        pair += SCALE_WORDS;
    }
}

void nn_tuned_product_s8(const struct nn_tuned_product *op, const uint32_t *columns,
                         int32_t count, int8_t *out)
{
    if (count > 1 && op->out_ch > 1) {
        product_4(op, columns, count, out);
        return;
    }
    for (int32_t pixel = 0; pixel < count && pixel < PIXELS; pixel++) {
        product_1(op, columns + pixel, out + pixel * op->out_ch);
    }
}

#if defined(__ARM_FEATURE_DSP)

/* n, a positive multiple of 4, bytes of each. */
static inline uint32_t *widen_words(const int8_t *p0, const int8_t *p1, const int8_t *p2,
                                    const int8_t *p3, int32_t n, uint32_t *columns)
{
    register const int8_t *end __asm__("lr") = p0 + n;
    register uint32_t *to __asm__("r12") = columns;

    __asm__ volatile("1:\n\t"
                     "ldr    r4, [%[p0]], #4\n\t"
                     "ldr    r5, [%[p1]], #4\n\t"
                     "ldr    r6, [%[p2]], #4\n\t"
                     "ldr    r7, [%[p3]], #4\n\t"
                     "sxtb16 r8, r4\n\t"
                     "sxtb16 r9, r5\n\t"
                     "sxtb16 r10, r6\n\t"
                     "sxtb16 r11, r7\n\t"
                     "stm    %[to]!, {r8-r11}\n\t"
                     "sxtb16 r4, r4, ror #8\n\t"
                     "sxtb16 r5, r5, ror #8\n\t"
                     "sxtb16 r6, r6, ror #8\n\t"
                     "sxtb16 r7, r7, ror #8\n\t"
                     "stm    %[to]!, {r4-r7}\n\t"
                     "cmp    %[p0], %[end]\n\t"
                     "bne    1b"
                     : [p0] "+r"(p0), [p1] "+r"(p1), [p2] "+r"(p2), [p3] "+r"(p3),
                       [to] "+r"(to), [end] "+r"(end)
                     :
                     : "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "cc", "memory");
    return to;
}

#endif

/* Four bytes of each pixel. Straight-line: a loop over the pixels would keep them in
 * memory. */
static inline void spread(uint32_t p0, uint32_t p1, uint32_t p2, uint32_t p3,
                          uint32_t *columns)
{
    columns[0] = nn_dsp_even(p0);
    columns[1] = nn_dsp_even(p1);
    columns[2] = nn_dsp_even(p2);
    columns[3] = nn_dsp_even(p3);
    columns[4] = nn_dsp_odd(p0);
    columns[5] = nn_dsp_odd(p1);
    columns[6] = nn_dsp_odd(p2);
    columns[7] = nn_dsp_odd(p3);
}

#if !defined(__ARM_FEATURE_DSP)

static inline uint32_t *widen_words(const int8_t *p0, const int8_t *p1, const int8_t *p2,
                                    const int8_t *p3, int32_t n, uint32_t *columns)
{
    for (int32_t i = 0; i < n; i += 4, columns += 2 * PIXELS) {
        spread(nn_dsp_load(p0 + i), nn_dsp_load(p1 + i), nn_dsp_load(p2 + i),
               nn_dsp_load(p3 + i), columns);
    }
    return columns;
}

#endif

/* 1 to 3 bytes, and zeros. */
static inline uint32_t load_rest(const int8_t *p, int32_t n)
{
    uint32_t word = (uint8_t)p[0];

    if (n > 1) {
        word |= (uint32_t)(uint8_t)p[1] << 8;
    }
    if (n > 2) {
        word |= (uint32_t)(uint8_t)p[2] << 16;
    }
    return word;
}

uint32_t *nn_tuned_product_widen(const int8_t *const from[PIXELS], int32_t n,
                                 uint32_t *columns)
{
    const int8_t *const p0 = from[0];
    const int8_t *const p1 = from[1];
    const int8_t *const p2 = from[2];
    const int8_t *const p3 = from[3];
    const int32_t whole = n & ~3;

    if (whole > 0) {
        columns = widen_words(p0, p1, p2, p3, whole, columns);
    }
    if (n > whole) {
        spread(load_rest(p0 + whole, n - whole), load_rest(p1 + whole, n - whole),
               load_rest(p2 + whole, n - whole), load_rest(p3 + whole, n - whole), columns);
        columns += 2 * PIXELS;
    }
    return columns;
}
