/* Weights times columns, two channels by four pixels at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#include "nn_tuned_product.h"

#define PIXELS NN_TUNED_PRODUCT_PIXELS

/* Sums of channels a and b for the four pixels; run_block adds `steps` > 0 steps of
 * products to them and returns the end of their weights. */
struct block {
    int32_t a0, a1, a2, a3;
    int32_t b0, b1, b2, b3;
};

#if defined(__ARM_FEATURE_DSP)

/* The block takes all fourteen registers, so nothing is left to count with: its steps are
 * unrolled, 13 instructions for 16 products, and entered where as many remain as there are
 * to do. Each instruction has four bytes. */
#define UNROLLED 32
#define STEP_BYTES 52
#define STEP                                    \
    "ldr.w  %[t2], [%[w]], #4\n\t"              \
    "ldrd   %[t0], %[t1], [%[x]], #8\n\t"       \
    "sxtb16.w %[t3], %[t2], ror #8\n\t"         \
    "sxtb16.w %[t2], %[t2]\n\t"                 \
    "smlad  %[a0], %[t2], %[t0], %[a0]\n\t"     \
    "smlad  %[a1], %[t2], %[t1], %[a1]\n\t"     \
    "smlad  %[b0], %[t3], %[t0], %[b0]\n\t"     \
    "smlad  %[b1], %[t3], %[t1], %[b1]\n\t"     \
    "ldrd   %[t0], %[t1], [%[x]], #8\n\t"       \
    "smlad  %[a2], %[t2], %[t0], %[a2]\n\t"     \
    "smlad  %[a3], %[t2], %[t1], %[a3]\n\t"     \
    "smlad  %[b2], %[t3], %[t0], %[b2]\n\t"     \
    "smlad  %[b3], %[t3], %[t1], %[b3]\n\t"
/* Written out, not with .rept: the compiler counts lines to know how far it branches. */
#define FOUR(x) x x x x
#define STEPS FOUR(FOUR(STEP)) FOUR(FOUR(STEP))

static inline __attribute__((always_inline)) const int8_t *
run_block(struct block *s, const uint32_t *x, const int8_t *w, int32_t steps)
{
    /* The first time through takes what is not a multiple of the rest. */
    int32_t t0 = (-steps & (UNROLLED - 1)) * STEP_BYTES;

    for (int32_t left = (steps - 1) / UNROLLED;; left--) {
        int32_t t1, t2, t3;

        __asm__("add    pc, %[t0]\n\t" /* pc is four bytes ahead: behind the nop */
                "nop\n\t"
                STEPS
                : [a0] "+r"(s->a0), [a1] "+r"(s->a1), [a2] "+r"(s->a2), [a3] "+r"(s->a3),
                  [b0] "+r"(s->b0), [b1] "+r"(s->b1), [b2] "+r"(s->b2), [b3] "+r"(s->b3),
                  [x] "+r"(x), [w] "+r"(w), [t0] "+r"(t0), [t1] "=&r"(t1), [t2] "=&r"(t2),
                  [t3] "=&r"(t3)
                :
                : "memory");
        if (left == 0) {
            return w;
        }
        t0 = 0;
    }
}

#else

static inline const int8_t *run_block(struct block *s, const uint32_t *x, const int8_t *w,
                                      int32_t steps)
{
    for (; steps > 0; steps--, x += PIXELS, w += 4) {
        const uint32_t a = nn_dsp_even(nn_dsp_load(w));
        const uint32_t b = nn_dsp_odd(nn_dsp_load(w));

        s->a0 = nn_dsp_dot(a, x[0], s->a0);
        s->a1 = nn_dsp_dot(a, x[1], s->a1);
        s->a2 = nn_dsp_dot(a, x[2], s->a2);
        s->a3 = nn_dsp_dot(a, x[3], s->a3);
        s->b0 = nn_dsp_dot(b, x[0], s->b0);
        s->b1 = nn_dsp_dot(b, x[1], s->b1);
        s->b2 = nn_dsp_dot(b, x[2], s->b2);
        s->b3 = nn_dsp_dot(b, x[3], s->b3);
    }
    return w;
}

#endif

/* One channel of the four pixels, `stride` bytes apart. */
static inline __attribute__((always_inline)) void store(int32_t s0, int32_t s1, int32_t s2,
                                                        int32_t s3, const int32_t *channel,
                                                        int32_t stride, int8_t *out)
{
    const int32_t multiplier = channel[1];
    const int32_t rounding = channel[2];
    const int32_t shift = channel[3];

    out[0] = nn_tuned_requant(s0 * 2, multiplier, rounding, shift);
    out[stride] = nn_tuned_requant(s1 * 2, multiplier, rounding, shift);
    out += 2 * stride;
    out[0] = nn_tuned_requant(s2 * 2, multiplier, rounding, shift);
    out[stride] = nn_tuned_requant(s3 * 2, multiplier, rounding, shift);
}

static void product_4(const struct nn_tuned_product *op, const uint32_t *columns,
                      int8_t *out)
{
    const int32_t steps = op->depth / 2;
    const int32_t stride = op->out_ch;
    const int32_t *channel = op->channels;
    const int8_t *w = op->weights;

    for (int32_t left = stride; left > 0; left -= 2) {
        const int32_t a = channel[0];
        const int32_t b = channel[NN_TUNED_WORDS];
        struct block s = { a, a, a, a, b, b, b, b };

        w = run_block(&s, columns, w, steps);
        store(s.a0, s.a1, s.a2, s.a3, channel, stride, out);
        if (left > 1) {
            store(s.b0, s.b1, s.b2, s.b3, channel + NN_TUNED_WORDS, stride, out + 1);
        }
        channel += 2 * NN_TUNED_WORDS;
        out += 2;
    }
}

static void product_1(const struct nn_tuned_product *op, const uint32_t *columns,
                      int8_t *out)
{
    const uint32_t *const end = columns + op->depth / 2 * PIXELS;
    const int32_t *channel = op->channels;
    const int8_t *w = op->weights;

    for (int32_t left = op->out_ch; left > 0; left -= 2) {
        int32_t a = channel[0];
        int32_t b = channel[NN_TUNED_WORDS];

        for (const uint32_t *x = columns; x < end; x += 2 * PIXELS, w += 8) {
            const uint32_t w0 = nn_dsp_load(w);
            const uint32_t w1 = nn_dsp_load(w + 4);

            a = nn_dsp_dot(nn_dsp_even(w0), x[0], a);
            b = nn_dsp_dot(nn_dsp_odd(w0), x[0], b);
            a = nn_dsp_dot(nn_dsp_even(w1), x[PIXELS], a);
            b = nn_dsp_dot(nn_dsp_odd(w1), x[PIXELS], b);
        }
        out[0] = nn_tuned_requant(a * 2, channel[1], channel[2], channel[3]);
        channel += NN_TUNED_WORDS;
        if (left > 1) {
            out[1] = nn_tuned_requant(b * 2, channel[1], channel[2], channel[3]);
        }
        channel += NN_TUNED_WORDS;
        out += 2;
    }
}

void nn_tuned_product_s8(const struct nn_tuned_product *op, const uint32_t *columns,
                         int32_t count, int8_t *out)
{
    if (count >= PIXELS) {
        product_4(op, columns, out);
        return;
    }
    for (int32_t pixel = 0; pixel < count; pixel++) {
        product_1(op, columns + pixel, out + pixel * op->out_ch);
    }
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
    const int8_t *p0 = from[0];
    const int8_t *p1 = from[1];
    const int8_t *p2 = from[2];
    const int8_t *p3 = from[3];

    for (; n >= 4; n -= 4, columns += 2 * PIXELS) {
        spread(nn_dsp_load(p0), nn_dsp_load(p1), nn_dsp_load(p2), nn_dsp_load(p3), columns);
        p0 += 4;
        p1 += 4;
        p2 += 4;
        p3 += 4;
    }
    if (n > 0) {
        spread(load_rest(p0, n), load_rest(p1, n), load_rest(p2, n), load_rest(p3, n),
               columns);
        columns += 2 * PIXELS;
    }
    return columns;
}
