/* Depthwise convolution 3x3: a row of one channel at a time, its weights in registers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "nn_scalar_depthwise.h"

#define INLINE static inline __attribute__((always_inline))

/* A row of outputs, and the three rows of inputs that it sees. */
struct row {
    const int8_t *in[3];
    int8_t is_hidden[3]; /* padding; `in` is any other row */
    int8_t is_padded_left;
    int8_t is_padded_right;
    int8_t zero;
    int8_t *out;
    int32_t step;        /* bytes from pixel to pixel, of inputs and outputs alike */
    int32_t whole;       /* outputs that do not see padding to their right */
};

/* A column of inputs, or of the filter. */
struct column {
    int32_t r0;
    int32_t r1;
    int32_t r2;
};

/* Where a channel reads. */
struct at {
    const int8_t *in0;
    const int8_t *in1;
    const int8_t *in2;
};

INLINE struct column load(struct at *at, int32_t step)
{
    const struct column x = { *at->in0, *at->in1, *at->in2 };

    at->in0 += step;
    at->in1 += step;
    at->in2 += step;
    return x;
}

INLINE int32_t dot(struct column x, struct column w, int32_t acc)
{
    return acc + x.r0 * w.r0 + x.r1 * w.r1 + x.r2 * w.r2;
}

/* A hidden row's weights count as 0, and what they would add is in the start. */
INLINE int32_t hide(int8_t zero, int32_t *w0, int32_t *w1, int32_t *w2)
{
    const int32_t part = zero * (*w0 + *w1 + *w2);

    *w0 = 0;
    *w1 = 0;
    *w2 = 0;
    return part;
}

/* One channel. Column after column, each goes into all the outputs that see it: for that the
 * sums of two outputs are kept, not the inputs. */
INLINE void run(const struct row *row, const int8_t *taps, const int32_t *words,
                int32_t channel, int32_t stride, int is_short)
{
    const int32_t end[NN_SCALAR_WORDS] = { 0, words[1], words[2], words[3] };
    const int32_t step = row->step;
    struct column w0 = { taps[0], taps[3], taps[6] };
    struct column w1 = { taps[1], taps[4], taps[7] };
    struct column w2 = { taps[2], taps[5], taps[8] };
    int32_t start = words[0];

    if (row->is_hidden[0]) {
        start += hide(row->zero, &w0.r0, &w1.r0, &w2.r0);
    }
    if (row->is_hidden[1]) {
        start += hide(row->zero, &w0.r1, &w1.r1, &w2.r1);
    }
    if (row->is_hidden[2]) {
        start += hide(row->zero, &w0.r2, &w1.r2, &w2.r2);
    }

    const struct column padding = { row->zero, row->zero, row->zero };
    struct at at = { row->in[0] + channel, row->in[1] + channel, row->in[2] + channel };
    int8_t *out = row->out + channel;
    struct column x = row->is_padded_left ? padding : load(&at, step);
    int32_t next = dot(x, w0, start); /* of the next output */
    int32_t after;                    /* of the one behind it, for stride 1 */

    x = load(&at, step);
    next = dot(x, w1, next);
    after = dot(x, w0, start);
    for (int32_t left = row->whole; left > 0; left--) {
        x = load(&at, step);
        *out = (int8_t)nn_scalar_requant(dot(x, w2, next), end, is_short);
        out += step;
        if (stride == 1) {
            next = dot(x, w1, after);
            after = dot(x, w0, start);
        } else {
            next = dot(x, w0, start);
            if (left > 1 || row->is_padded_right) {
                x = load(&at, step);
                next = dot(x, w1, next);
            }
        }
    }
    if (row->is_padded_right) {
        *out = (int8_t)nn_scalar_requant(dot(padding, w2, next), end, is_short);
    }
}

/* Apart from each other: each has the registers for itself. */
#define RUN_ROW(name, stride, is_short)                                                \
    static __attribute__((noinline)) void name(const struct nn_scalar_depthwise *op,       \
                                               const struct row *row)                      \
    {                                                                                      \
        const int8_t *taps = op->weights;                                                  \
        const int32_t *words = op->channels;                                               \
                                                                                           \
        for (int32_t channel = 0; channel < op->window.out_ch; channel++) {                \
            run(row, taps, words, channel, stride, is_short);                          \
            taps += NN_SCALAR_DEPTHWISE_TAPS;                                              \
            words += NN_SCALAR_WORDS;                                                      \
        }                                                                                  \
    }

RUN_ROW(run_short_1, 1, 1)
RUN_ROW(run_short_2, 2, 1)
RUN_ROW(run_long_1, 1, 0)
RUN_ROW(run_long_2, 2, 0)

static void see(struct row *row, const struct nn_window *w, const int8_t *image, int32_t top)
{
    for (int32_t r = 0; r < 3; r++) {
        const int32_t y = top + r;

        row->is_hidden[r] = y < 0 || y >= w->in_h;
        row->in[r] = image + (row->is_hidden[r] ? 0 : y) * w->in_w * w->in_ch;
    }
}

void nn_scalar_depthwise_s8(const struct nn_scalar_depthwise *op, const int8_t *in,
                            int8_t *out)
{
    const struct nn_window *const w = &op->window;
    const int is_padded_right = (w->out_w - 1) * w->stride_w - w->pad_w + 2 >= w->in_w;
    struct row row = {
        .is_padded_left = w->pad_w > 0,
        .is_padded_right = (int8_t)is_padded_right,
        .zero = op->zero,
        .out = out,
        .step = w->in_ch,
        .whole = w->out_w - is_padded_right,
    };

    for (int32_t batch = 0; batch < w->batches; batch++) {
        for (int32_t y = 0; y < w->out_h; y++) {
            see(&row, w, in, y * w->stride_h - w->pad_h);
            if (op->is_short) {
                (w->stride_w == 1 ? run_short_1 : run_short_2)(op, &row);
            } else {
                (w->stride_w == 1 ? run_long_1 : run_long_2)(op, &row);
            }
            row.out += w->out_w * w->out_ch;
        }
        in += w->in_h * w->in_w * w->in_ch;
    }
    nn_scalar_clamp(out, (int32_t)(row.out - out), op->act_min, op->act_max);
}
