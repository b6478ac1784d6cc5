/* Weights times columns, two channels by four pixels at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#include "nn_tuned_product.h"

#define PIXELS NN_TUNED_PRODUCT_PIXELS
#define START_WORDS 2 /* of a pair: before its weights */
#define SCALE_WORDS 6 /* and behind them */

static inline int32_t pair_words(const struct nn_tuned_product *op)
{
    return START_WORDS + (op->is_wide ? op->depth : op->depth / 2) + SCALE_WORDS;
}

/* Sums of a pixel: of channel a, and of a + 256 b or, wide, b. Two inputs more. */
static inline __attribute__((always_inline)) void
add_step(const int32_t *weights, int32_t step, int is_wide, uint32_t x, int32_t sums[2])
{
    const uint32_t first = (uint32_t)weights[is_wide ? 2 * step : step];
    const uint32_t second = is_wide ? (uint32_t)weights[2 * step + 1] : first;

    sums[0] = nn_dsp_dot(is_wide ? first : nn_dsp_even(first), x, sums[0]);
    sums[1] = nn_dsp_dot(second, x, sums[1]);
}

/* The output of channel 0 or 1 of a pair. */
static inline __attribute__((always_inline)) int8_t
finish(const int32_t sums[2], const int32_t *scales, int32_t channel, int is_wide,
       int is_linear)
{
    const int32_t *const scale = scales + 3 * channel;
    int32_t sum = sums[channel];

    if (!is_wide && channel == 1) {
        sum = (int32_t)((uint32_t)sum - (uint32_t)sums[0]);
    }
    if (is_linear) {
        return nn_tuned_linear(sum, scale[0], scale[1], scale[2]);
    }
    if (!is_wide) {
        sum = channel == 1 ? sum >> 7 : sum * 2;
    }
    return nn_tuned_requant(sum, scale[0], scale[1], scale[2]);
}

#if defined(__ARM_FEATURE_DSP)

/* The block takes all fourteen registers, so nothing is left to count with: its steps are
 * unrolled, 12 instructions for 16 products, 11 of wide weights, and entered where as many
 * remain as there are to do. Each instruction has four bytes. Sums of channel a are r4 to r7,
 * of b r8 to r11, those with a's in them. */
#define UNROLLED 32
#define STEP_BYTES(is_wide) ((is_wide) ? 44 : 48)
#define STEP                              \
    "ldr.w  r12, [r1], #4\n\t"            \
    "ldrd   r2, r3, [r0], #8\n\t"         \
    "sxtb16.w lr, r12\n\t"                \
    "smlad  r4, lr, r2, r4\n\t"           \
    "smlad  r5, lr, r3, r5\n\t"           \
    "smlad  r8, r12, r2, r8\n\t"          \
    "smlad  r9, r12, r3, r9\n\t"          \
    "ldrd   r2, r3, [r0], #8\n\t"         \
    "smlad  r6, lr, r2, r6\n\t"           \
    "smlad  r7, lr, r3, r7\n\t"           \
    "smlad  r10, r12, r2, r10\n\t"        \
    "smlad  r11, r12, r3, r11\n\t"
#define WIDE_STEP                         \
    "ldrd   r12, lr, [r1], #8\n\t"        \
    "ldrd   r2, r3, [r0], #8\n\t"         \
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
#define UNROLL(step) FOUR(FOUR(step)) FOUR(FOUR(step))

/* nn_tuned_requant and nn_tuned_linear but for their stores: multiplier r2, rounding r3, shift
 * r12. Sums of bytes are doubled first, those of b parted from a's. */
#define SIGNED(s)                         \
    "add    lr, r3, " s ", asr #31\n\t"   \
    "smmlar " s ", " s ", r2, lr\n\t"     \
    "asr    " s ", " s ", r12\n\t"        \
    "ssat   " s ", #8, " s "\n\t"
#define LINEAR(s, shift)                  \
    "smmlar " s ", " s ", r2, r3\n\t"     \
    "ssat   " s ", #8, " s ", asr #" shift "\n\t"
#define SIGNED_A(s) "lsl    " s ", " s ", #1\n\t" SIGNED(s)
#define SIGNED_B(s) "asr    " s ", " s ", #7\n\t" SIGNED(s)
#define LINEAR_A(s) LINEAR(s, "4")
#define LINEAR_B(s) LINEAR(s, "12")
#define LINEAR_WIDE(s) LINEAR(s, "8")
#define PART                              \
    "sub    r8, r8, r4\n\t"               \
    "sub    r9, r9, r5\n\t"               \
    "sub    r10, r10, r6\n\t"             \
    "sub    r11, r11, r7\n\t"
#define EIGHT(A, B)                       \
    A("r4") A("r5") A("r6") A("r7")       \
    "ldm    r1!, {r2, r3, r12}\n\t"       \
    B("r8") B("r9") B("r10") B("r11")

#define RUN_PAIRS(STEP, SIGN, LINE)                                                       \
    __asm__ volatile(                                                                     \
        "push   {r7}\n\t" /* the frame pointer of some builds */                          \
        "ldm    r0, {r4-r12}\n\t"                                                         \
        "adr.w  r2, 3f\n\t"                                                               \
        "adr.w  r3, 4f\n\t"                                                               \
        "cmp    r12, #0\n\t"                                                              \
        "it     ne\n\t"                                                                   \
        "movne  r2, r3\n\t"                                                               \
        "orr    r12, r2, #1\n\t"                                                          \
        "push   {r4-r12}\n"                                                               \
        "1:\n\t"                                                                          \
        "ldrd   r4, r8, [r1], #8\n\t"                                                     \
        "ldrd   r0, r2, [sp]\n\t"            /* columns, entry */                         \
        "mov    r5, r4\n\t"                                                               \
        "mov    r6, r4\n\t"                                                               \
        "mov    r7, r4\n\t"                                                               \
        "mov    r9, r8\n\t"                                                               \
        "mov    r10, r8\n\t"                                                              \
        "mov    r11, r8\n\t"                                                              \
        "add    pc, r2\n\t"                  /* pc is four bytes ahead: behind the nop */ \
        "nop\n"                                                                           \
        "2:\n\t"                                                                          \
        UNROLL(STEP)                                                                      \
        "ldr    r2, [sp, #8]\n\t"            /* their end */                              \
        "cmp    r0, r2\n\t"                                                               \
        "bne    2b\n\t"                                                                   \
        "ldm    r1!, {r2, r3, r12}\n\t"                                                   \
        "ldr    pc, [sp, #32]\n"                                                          \
        "3:\n\t"                                                                          \
        SIGN                                                                              \
        "b      5f\n"                                                                     \
        "4:\n\t"                                                                          \
        LINE                                                                              \
        "5:\n\t"                                                                          \
        "ldrd   r0, r12, [sp, #16]\n\t"      /* out, away */                              \
        "ldrd   r2, r3, [sp, #24]\n\t"                                                    \
        "strb   r4, [r0]\n\t"                                                             \
        "strb   r5, [r0, r12]\n\t"                                                        \
        "strb   r6, [r0, r2]\n\t"                                                         \
        "strb   r7, [r0, r3]\n\t"                                                         \
        "adds   r0, #1\n\t"                                                               \
        "strb   r8, [r0]\n\t"                                                             \
        "strb   r9, [r0, r12]\n\t"                                                        \
        "strb   r10, [r0, r2]\n\t"                                                        \
        "strb   r11, [r0, r3]\n\t"                                                        \
        "adds   r0, #1\n\t"                                                               \
        "str    r0, [sp, #16]\n\t"                                                        \
        "ldr    r0, [sp, #12]\n\t"           /* the pairs' end */                         \
        "cmp    r1, r0\n\t"                                                               \
        "bne    1b\n\t"                                                                   \
        "add    sp, sp, #36\n\t"                                                          \
        "pop    {r7}"                                                                     \
        : "+r"(r0), "+r"(r1)                                                              \
        :                                                                                 \
        : "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12", "lr",            \
          "cc", "memory")

static __attribute__((noinline)) void run_pairs(const struct nn_tuned_product_run *run,
                                                const int32_t *pairs)
{
    register const struct nn_tuned_product_run *r0 __asm__("r0") = run;
    register const int32_t *r1 __asm__("r1") = pairs;

    RUN_PAIRS(STEP, PART EIGHT(SIGNED_A, SIGNED_B), PART EIGHT(LINEAR_A, LINEAR_B));
}

static __attribute__((noinline)) void run_wide_pairs(const struct nn_tuned_product_run *run,
                                                     const int32_t *pairs)
{
    register const struct nn_tuned_product_run *r0 __asm__("r0") = run;
    register const int32_t *r1 __asm__("r1") = pairs;

    RUN_PAIRS(WIDE_STEP, EIGHT(SIGNED, SIGNED), EIGHT(LINEAR_WIDE, LINEAR_WIDE));
}

#else

#define UNROLLED 1
#define STEP_BYTES(is_wide) 0

static void run_any_pairs(const struct nn_tuned_product_run *run, const int32_t *pairs,
                          int is_wide)
{
    const int32_t steps = (int32_t)(run->columns_end - run->columns) / PIXELS;
    const int32_t words = START_WORDS + (is_wide ? 2 * steps : steps) + SCALE_WORDS;
    int8_t *out = run->out;

    for (; pairs < run->pairs_end; pairs += words, out += 2) {
        const int32_t *const scales = pairs + words - SCALE_WORDS;

        for (int32_t pixel = 0; pixel < PIXELS; pixel++) {
            int8_t *const to = out + (pixel ? run->away[pixel - 1] : 0);
            int32_t sums[2] = { pairs[0], pairs[1] };

            for (int32_t step = 0; step < steps; step++) {
                add_step(pairs + START_WORDS, step, is_wide,
                         run->columns[step * PIXELS + pixel], sums);
            }
            to[0] = finish(sums, scales, 0, is_wide, run->is_linear);
            to[1] = finish(sums, scales, 1, is_wide, run->is_linear);
        }
    }
}

static void run_pairs(const struct nn_tuned_product_run *run, const int32_t *pairs)
{
    run_any_pairs(run, pairs, 0);
}

static void run_wide_pairs(const struct nn_tuned_product_run *run, const int32_t *pairs)
{
    run_any_pairs(run, pairs, 1);
}

#endif

void nn_tuned_product_start(const struct nn_tuned_product *op, const uint32_t *columns,
                            struct nn_tuned_product_run *run)
{
    const int32_t steps = op->depth / 2;
    const int32_t even = op->out_ch / 2;

    *run = (struct nn_tuned_product_run){
        .columns = columns,
        .entry = (-steps & (UNROLLED - 1)) * STEP_BYTES(op->is_wide),
        .columns_end = columns + steps * PIXELS,
        .pairs_end = op->pairs + even * pair_words(op),
        .away = { op->out_ch, op->out_ch * 2, op->out_ch * 3 },
        .is_linear = op->is_linear,
    };
}

/* All channels of one pixel. */
static inline __attribute__((always_inline)) void
run_pixel(const struct nn_tuned_product *op, const uint32_t *columns, int is_wide, int8_t *out)
{
    const int32_t steps = op->depth / 2;
    const int32_t *pair = op->pairs;

    for (int32_t left = op->out_ch; left > 0; left -= 2, pair += pair_words(op)) {
        const int32_t *const scales = pair + pair_words(op) - SCALE_WORDS;
        int32_t sums[2] = { pair[0], pair[1] };

        for (int32_t step = 0; step < steps; step++) {
            add_step(pair + START_WORDS, step, is_wide, columns[step * PIXELS], sums);
        }
        if (left > 1) {
            *out++ = finish(sums, scales, 0, is_wide, op->is_linear);
        }
        *out++ = finish(sums, scales, 1, is_wide, op->is_linear);
    }
}

static inline __attribute__((always_inline)) void
run(const struct nn_tuned_product *op, struct nn_tuned_product_run *run, int32_t count,
    int is_wide, int8_t *out)
{
    void (*const multiply)(const struct nn_tuned_product_run *, const int32_t *) =
        is_wide ? run_wide_pairs : run_pairs;

    if (op->out_ch == 1 || count == 1) {
        for (int32_t pixel = 0; pixel < count && pixel < PIXELS; pixel++) {
            run_pixel(op, run->columns + pixel, is_wide, out + pixel * op->out_ch);
        }
        return;
    }
    if (count < PIXELS) { /* behind the last one, that one again */
        run->away[1] = op->out_ch * (count - 1);
        run->away[2] = run->away[1];
    }
    run->out = out;
    multiply(run, op->pairs);
    if (op->out_ch & 1) { /* the last one comes with the one before it */
        const int32_t *const pairs = run->pairs_end;

        run->out = out + op->out_ch - 2;
        run->pairs_end = pairs + pair_words(op);
        multiply(run, pairs);
        run->pairs_end = pairs;
    }
}

void nn_tuned_product_s8(const struct nn_tuned_product *op, struct nn_tuned_product_run *now,
                         int32_t count, int8_t *out)
{
    run(op, now, count, 0, out);
}

void nn_tuned_product_wide_s8(const struct nn_tuned_product *op,
                              struct nn_tuned_product_run *now, int32_t count, int8_t *out)
{
    run(op, now, count, 1, out);
}

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

#if defined(__ARM_FEATURE_DSP)

uint32_t *nn_tuned_product_widen_rows(const int8_t *const from[PIXELS], int32_t run,
                                      int32_t down, int32_t rows, uint32_t *columns)
{
    const int8_t *p0 = from[0];
    const int8_t *p1 = from[1];
    const int8_t *p2 = from[2];
    const int8_t *p3 = from[3];
    const int8_t *end = p0 + run;
    int32_t t0, t1, t2, t3;

    __asm__ volatile("1:\n\t"
                     "ldr    %[t0], [%[p2]], #4\n\t"
                     "ldr    %[t1], [%[p3]], #4\n\t"
                     "sxtb16 %[t2], %[t0]\n\t"
                     "sxtb16 %[t3], %[t1]\n\t"
                     "strd   %[t2], %[t3], [%[to], #8]\n\t"
                     "sxtb16 %[t2], %[t0], ror #8\n\t"
                     "sxtb16 %[t3], %[t1], ror #8\n\t"
                     "strd   %[t2], %[t3], [%[to], #24]\n\t"
                     "ldr    %[t0], [%[p0]], #4\n\t"
                     "ldr    %[t1], [%[p1]], #4\n\t"
                     "sxtb16 %[t2], %[t0], ror #8\n\t"
                     "sxtb16 %[t3], %[t1], ror #8\n\t"
                     "strd   %[t2], %[t3], [%[to], #16]\n\t"
                     "sxtb16 %[t2], %[t0]\n\t"
                     "sxtb16 %[t3], %[t1]\n\t"
                     "strd   %[t2], %[t3], [%[to]], #32\n\t"
                     "cmp    %[p0], %[end]\n\t"
                     "bne    1b\n\t"
                     "add    %[p0], %[p0], %[skip]\n\t"
                     "add    %[p1], %[p1], %[skip]\n\t"
                     "add    %[p2], %[p2], %[skip]\n\t"
                     "add    %[p3], %[p3], %[skip]\n\t"
                     "add    %[end], %[end], %[down]\n\t"
                     "subs   %[rows], %[rows], #1\n\t"
                     "bne    1b"
                     : [p0] "+r"(p0), [p1] "+r"(p1), [p2] "+r"(p2), [p3] "+r"(p3),
                       [to] "+r"(columns), [end] "+r"(end), [rows] "+r"(rows),
                       [t0] "=&r"(t0), [t1] "=&r"(t1), [t2] "=&r"(t2), [t3] "=&r"(t3)
                     : [skip] "r"(down - run), [down] "r"(down)
                     : "cc", "memory");
    return columns;
}

#else

uint32_t *nn_tuned_product_widen_rows(const int8_t *const from[PIXELS], int32_t run,
                                      int32_t down, int32_t rows, uint32_t *columns)
{
    for (int32_t row = 0; row < rows; row++) {
        for (int32_t i = row * down; i < row * down + run; i += 4, columns += 2 * PIXELS) {
            spread(nn_dsp_load(from[0] + i), nn_dsp_load(from[1] + i),
                   nn_dsp_load(from[2] + i), nn_dsp_load(from[3] + i), columns);
        }
    }
    return columns;
}

#endif

void nn_tuned_product_widen(const int8_t *const from[PIXELS], int32_t n, uint32_t *columns)
{
    const int32_t whole = n & ~3;

    if (whole > 0) {
        columns = nn_tuned_product_widen_rows(from, whole, 0, 1, columns);
    }
    if (n > whole) {
        spread(nn_dsp_load_some(from[0] + whole, n - whole), nn_dsp_load_some(from[1] + whole, n - whole),
               nn_dsp_load_some(from[2] + whole, n - whole), nn_dsp_load_some(from[3] + whole, n - whole),
               columns);
    }
}
