/* Depthwise convolution 3x3: rows of each channel as 16-bit pairs, two outputs at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#include "nn_tuned_depthwise.h"

#define ROWS 3
#define GROUP 4 /* channels widened together: the bytes of a word */

/* A channel's place in the three rows its outputs see. */
struct rows {
    const uint32_t *r0;
    const uint32_t *r1;
    const uint32_t *r2;
};

#if defined(__ARM_FEATURE_DSP)

/* One row's part of two outputs. Stride 1: inputs x0 x1 and x2 x3; stride 2: the next word
 * as well. */
#define ROW_OF_STRIDE_1(row, w01, w12)                   \
    "ldrd   %[x0], %[x1], [%[" row "]], #4\n\t"          \
    "smlad  %[a0], %[x0], %[" w01 "], %[a0]\n\t"         \
    "smlatb %[a1], %[x0], %[" w01 "], %[a1]\n\t"         \
    "smlabt %[a0], %[x1], %[" w12 "], %[a0]\n\t"         \
    "smlad  %[a1], %[x1], %[" w12 "], %[a1]\n\t"

#define ROW_OF_STRIDE_2(row, w01, w12)                   \
    "ldrd   %[x0], %[x1], [%[" row "]], #8\n\t"          \
    "smlad  %[a0], %[x0], %[" w01 "], %[a0]\n\t"         \
    "ldr    %[x0], [%[" row "]]\n\t"                     \
    "smlabt %[a0], %[x1], %[" w12 "], %[a0]\n\t"         \
    "smlad  %[a1], %[x1], %[" w01 "], %[a1]\n\t"         \
    "smlabt %[a1], %[x0], %[" w12 "], %[a1]\n\t"

/* nn_tuned_requant's product. */
#define SCALE_RECTIFIED                                  \
    "ldrd   %[x0], %[x1], [sp, #4]\n\t"                  \
    "smmlar %[a0], %[a0], %[x0], %[x1]\n\t"              \
    "smmlar %[a1], %[a1], %[x0], %[x1]\n\t"

#define SCALE_SIGNED                                     \
    "ldrd   %[x0], %[x1], [sp, #4]\n\t"                  \
    "add    %[x1], %[x1], %[a0], asr #31\n\t"            \
    "smmlar %[a0], %[a0], %[x0], %[x1]\n\t"              \
    "ldr    %[x1], [sp, #8]\n\t"                          \
    "add    %[x1], %[x1], %[a1], asr #31\n\t"            \
    "smmlar %[a1], %[a1], %[x0], %[x1]\n\t"

/* All of the fourteen registers hold weights, rows, sums or inputs; the rest of what a pair
 * needs lies on the stack, the channel's words first. */
#define RUN_PAIRS(ROW, SCALE)                                                              \
    __asm__ volatile("sub    sp, sp, #24\n\t"                                              \
                     "strd   %[a0], %[a1], [sp, #16]\n\t" /* stride, end */                \
                     "ldrd   %[a0], %[a1], [%[x0]]\n\t"                                    \
                     "strd   %[a0], %[a1], [sp]\n\t" /* start, multiplier */               \
                     "ldrd   %[a0], %[a1], [%[x0], #8]\n\t"                                \
                     "strd   %[a0], %[a1], [sp, #8]\n\t" /* rounding, shift */              \
                     "ldrd   %[w0], %[w1], [%[x0], #16]\n\t"                               \
                     "ldrd   %[w2], %[w3], [%[x0], #24]\n\t"                               \
                     "ldrd   %[w4], %[w5], [%[x0], #32]\n"                                 \
                     "1:\n\t"                                                              \
                     "ldr    %[a0], [sp]\n\t"                                              \
                     "mov    %[a1], %[a0]\n\t"                                             \
                     ROW("r0", "w0", "w1") ROW("r1", "w2", "w3") ROW("r2", "w4", "w5")     \
                     SCALE                                                                 \
                     "ldrd   %[x0], %[x1], [sp, #12]\n\t"                                  \
                     "asr    %[a0], %[a0], %[x0]\n\t"                                      \
                     "asr    %[a1], %[a1], %[x0]\n\t"                                      \
                     "ssat   %[a0], #8, %[a0]\n\t"                                         \
                     "ssat   %[a1], #8, %[a1]\n\t"                                         \
                     "strb   %[a0], [%[out]]\n\t"                                          \
                     "strb   %[a1], [%[out], %[x1]]\n\t"                                   \
                     "add    %[out], %[out], %[x1], lsl #1\n\t"                            \
                     "ldr    %[x0], [sp, #20]\n\t"                                         \
                     "cmp    %[r0], %[x0]\n\t"                                             \
                     "bne    1b\n\t"                                                       \
                     "add    sp, sp, #24"                                                  \
                     : [r0] "+r"(r0), [r1] "+r"(r1), [r2] "+r"(r2), [out] "+r"(out),       \
                       [a0] "+r"(a0), [a1] "+r"(a1), [x0] "+r"(x0), [x1] "=&r"(x1),        \
                       [w0] "=&r"(w0), [w1] "=&r"(w1), [w2] "=&r"(w2), [w3] "=&r"(w3),     \
                       [w4] "=&r"(w4), [w5] "=&r"(w5)                                      \
                     :                                                                     \
                     : "cc", "memory")

static inline __attribute__((always_inline)) int8_t *
run_pairs(const int32_t *channel, struct rows *rows, const uint32_t *end, int32_t stride,
          int is_rectified, int8_t *out, int32_t out_ch)
{
    const uint32_t *r0 = rows->r0;
    const uint32_t *r1 = rows->r1;
    const uint32_t *r2 = rows->r2;
    const int32_t *x0 = channel;
    const uint32_t *a1 = end;
    int32_t a0 = out_ch;
    int32_t x1, w0, w1, w2, w3, w4, w5;

    if (stride == 1 && is_rectified) {
        RUN_PAIRS(ROW_OF_STRIDE_1, SCALE_RECTIFIED);
    } else if (stride == 1) {
        RUN_PAIRS(ROW_OF_STRIDE_1, SCALE_SIGNED);
    } else if (is_rectified) {
        RUN_PAIRS(ROW_OF_STRIDE_2, SCALE_RECTIFIED);
    } else {
        RUN_PAIRS(ROW_OF_STRIDE_2, SCALE_SIGNED);
    }
    *rows = (struct rows){ r0, r1, r2 };
    return out;
}

#else

/* The second of two outputs: stride 1 starts at the upper half of the first word. */
static inline int32_t row_second(const uint32_t *x, const int32_t *w, int32_t stride,
                                 int32_t acc)
{
    if (stride == 1) {
        acc = nn_dsp_dot(x[0] >> 16, (uint32_t)w[0] & 0xffff, acc);
        return nn_dsp_dot(x[1], (uint32_t)w[1], acc);
    }
    acc = nn_dsp_dot(x[1], (uint32_t)w[0], acc);
    return nn_dsp_dot(x[2] & 0xffff, (uint32_t)w[1] >> 16, acc);
}

static inline int32_t row_first(const uint32_t *x, const int32_t *w, int32_t acc);

static int8_t *run_pairs(const int32_t *channel, struct rows *rows, const uint32_t *end,
                         int32_t stride, int is_rectified, int8_t *out, int32_t out_ch)
{
    const int32_t *const w = channel + NN_TUNED_WORDS;
    const uint32_t **const r[ROWS] = { &rows->r0, &rows->r1, &rows->r2 };

    (void)is_rectified;
    while (rows->r0 != end) {
        int32_t a0 = channel[0];
        int32_t a1 = channel[0];

        for (int32_t row = 0; row < ROWS; row++) {
            a0 = row_first(*r[row], w + 2 * row, a0);
            a1 = row_second(*r[row], w + 2 * row, stride, a1);
            *r[row] += stride;
        }
        out[0] = nn_tuned_requant(a0, channel[1], channel[2], channel[3]);
        out[out_ch] = nn_tuned_requant(a1, channel[1], channel[2], channel[3]);
        out += 2 * out_ch;
    }
    return out;
}

#endif

static inline int32_t row_first(const uint32_t *x, const int32_t *w, int32_t acc)
{
    acc = nn_dsp_dot(x[0], (uint32_t)w[0], acc);
    return nn_dsp_dot(x[1] & 0xffff, (uint32_t)w[1] >> 16, acc);
}

/* A row of outputs: channel after channel, each along the row. */
static inline __attribute__((always_inline)) void
run_row(const struct nn_tuned_depthwise *op, struct rows rows, int32_t stride,
        int is_rectified, int8_t *out)
{
    const int32_t out_ch = op->window.out_ch;
    const int32_t pair_words = op->window.out_w / 2 * stride;
    const int is_odd = op->window.out_w & 1;
    const int32_t row_words = op->row_words;
    const int32_t *channel = op->channels;

    for (int32_t left = out_ch; left > 0; left--) {
        struct rows at = rows;
        int8_t *to = out;

        if (pair_words > 0) {
            to = run_pairs(channel, &at, at.r0 + pair_words, stride, is_rectified, to, out_ch);
        }
        if (is_odd) {
            const int32_t *const w = channel + NN_TUNED_WORDS;
            int32_t acc = row_first(at.r0, w, channel[0]);

            acc = row_first(at.r1, w + 2, acc);
            acc = row_first(at.r2, w + 4, acc);
            *to = nn_tuned_requant(acc, channel[1], channel[2], channel[3]);
        }
        channel += NN_TUNED_DEPTHWISE_WORDS;
        rows.r0 += row_words;
        rows.r1 += row_words;
        rows.r2 += row_words;
        out++;
    }
}

/* Apart from each other: each keeps its registers to itself. */
static __attribute__((noinline)) void run_row_1(const struct nn_tuned_depthwise *op,
                                                struct rows rows, int8_t *out)
{
    if (op->is_rectified) {
        run_row(op, rows, 1, 1, out);
    } else {
        run_row(op, rows, 1, 0, out);
    }
}

static __attribute__((noinline)) void run_row_2(const struct nn_tuned_depthwise *op,
                                                struct rows rows, int8_t *out)
{
    if (op->is_rectified) {
        run_row(op, rows, 2, 1, out);
    } else {
        run_row(op, rows, 2, 0, out);
    }
}

/* n channels of one pixel; of fewer than four, the rest is anything. */
static inline uint32_t load(const int8_t *p, int32_t n)
{
    if (n >= GROUP) {
        return nn_dsp_load(p);
    }
    return (uint32_t)(uint8_t)p[0] | (uint32_t)(uint8_t)p[n > 1 ? 1 : 0] << 8 |
           (uint32_t)(uint8_t)p[n > 2 ? 2 : 0] << 16;
}

/* Two pixels of four channels: a word for each channel. */
static inline void spread(uint32_t first, uint32_t second, uint32_t *to, int32_t row_words)
{
    const uint32_t even0 = nn_dsp_even(first);
    const uint32_t even1 = nn_dsp_even(second);
    const uint32_t odd0 = nn_dsp_odd(first);
    const uint32_t odd1 = nn_dsp_odd(second);

    to[0] = nn_dsp_lower(even0, even1);
    to[row_words] = nn_dsp_lower(odd0, odd1);
    to += 2 * row_words;
    to[0] = nn_dsp_upper(even0, even1);
    to[row_words] = nn_dsp_upper(odd0, odd1);
}

/* Four channels of a row, or the n < 4 last, from column -pad_w on. */
static inline __attribute__((always_inline)) void
widen_group(const struct nn_tuned_depthwise *op, const int8_t *row, int32_t n, uint32_t *to)
{
    const int32_t in_ch = op->window.in_ch;
    const int32_t in_w = op->window.in_w;
    const int32_t row_words = op->row_words;
    const uint32_t zeros = (uint8_t)op->zero * 0x01010101u;
    uint32_t *const end = to + row_words;
    int32_t x = -op->window.pad_w;

    for (; x < 0 && to < end; x += 2, to++) {
        const int is_second = x + 1 >= 0 && x + 1 < in_w;

        spread(zeros, is_second ? load(row + (x + 1) * in_ch, n) : zeros, to, row_words);
    }
    row += x * in_ch;
    for (; x + 1 < in_w && to < end; x += 2, to++) {
        spread(load(row, n), load(row + in_ch, n), to, row_words);
        row += 2 * in_ch;
    }
    for (; to < end; x += 2, to++) {
        spread(x < in_w ? load(row, n) : zeros, zeros, to, row_words);
        row += 2 * in_ch;
    }
}

static void widen(const struct nn_tuned_depthwise *op, const int8_t *row, uint32_t *to)
{
    int32_t left = op->window.in_ch;

    for (; left >= GROUP; left -= GROUP) {
        widen_group(op, row, GROUP, to);
        row += GROUP;
        to += GROUP * op->row_words;
    }
    if (left > 0) {
        widen_group(op, row, left, to);
    }
}

static void fill(const struct nn_tuned_depthwise *op, uint32_t *to, int32_t words)
{
    const uint32_t zeros = nn_dsp_even((uint8_t)op->zero * 0x01010101u);

    for (int32_t i = 0; i < words; i++) {
        to[i] = zeros;
    }
}

void nn_tuned_depthwise_s8(const struct nn_tuned_depthwise *op, const int8_t *in,
                           int8_t *out, uint32_t *ring)
{
    const struct nn_window *const w = &op->window;
    const int32_t row_bytes = w->in_w * w->in_ch;
    const int32_t words = (w->in_ch + GROUP - 1) / GROUP * GROUP * op->row_words;
    int8_t *to = out;

    for (int32_t batch = 0; batch < w->batches; batch++) {
        int32_t next = 0; /* row to widen next, counted from the first row of padding */

        for (int32_t y = 0; y < w->out_h; y++) {
            const int32_t top = y * w->stride_h;
            struct rows rows;

            for (next = next < top ? top : next; next < top + ROWS; next++) {
                uint32_t *const slot = ring + next % ROWS * words;
                const int32_t from = next - w->pad_h;

                if (from >= 0 && from < w->in_h) {
                    widen(op, in + from * row_bytes, slot);
                } else {
                    fill(op, slot, words);
                }
            }
            rows.r0 = ring + top % ROWS * words;
            rows.r1 = ring + (top + 1) % ROWS * words;
            rows.r2 = ring + (top + 2) % ROWS * words;
            if (w->stride_w == 1) {
                run_row_1(op, rows, to);
            } else {
                run_row_2(op, rows, to);
            }
            to += w->out_w * w->out_ch;
        }
        in += w->in_h * row_bytes;
    }
    nn_tuned_clamp(out, w->batches * w->out_h * w->out_w * w->out_ch, op->act_min,
                   op->act_max);
}
