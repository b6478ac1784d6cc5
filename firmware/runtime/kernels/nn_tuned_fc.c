/* Fully connected layer, four channels by four inputs at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#include "nn_tuned_fc.h"

#define QUAD 4

/* Sums of four channels: of a, a + 256 b, c, c + 256 d; run_quad adds `steps` > 0 times four
 * inputs to each and returns the end of the weights. */
struct quad {
    int32_t s0, s1, s2, s3;
};

#if defined(__ARM_FEATURE_DSP)

/* Unrolled and entered in the middle, as in nn_tuned_product.c: 16 instructions of four
 * bytes for 16 products. */
#define UNROLLED 16
#define STEP_BYTES 64

#define PAIR(a, b, w, x)                                \
    "smlad  %[" b "], " w ", %[" x "], %[" b "]\n\t"    \
    "sxtb16.w " w ", " w "\n\t"                         \
    "smlad  %[" a "], " w ", %[" x "], %[" a "]\n\t"

#define STEP                                            \
    "ldr.w  %[x0], [%[x]], #4\n\t"                      \
    "ldm.w  %[w]!, {r4-r6, r8}\n\t"                     \
    "sxtb16.w %[x1], %[x0], ror #8\n\t"                 \
    "sxtb16.w %[x0], %[x0]\n\t"                         \
    PAIR("s0", "s1", "r4", "x0") PAIR("s0", "s1", "r5", "x1") \
    PAIR("s2", "s3", "r6", "x0") PAIR("s2", "s3", "r8", "x1")

#define FOUR(x) x x x x

static inline __attribute__((always_inline)) const int8_t *
run_quad(struct quad *s, const int8_t *x, const int8_t *w, int32_t steps)
{
    int32_t x0 = (-steps & (UNROLLED - 1)) * STEP_BYTES;

    for (int32_t left = (steps - 1) / UNROLLED;; left--) {
        int32_t x1;

        __asm__("add    pc, %[x0]\n\t" /* pc is four bytes ahead: behind the nop */
                "nop\n\t"
                FOUR(FOUR(STEP))
                : [s0] "+r"(s->s0), [s1] "+r"(s->s1), [s2] "+r"(s->s2), [s3] "+r"(s->s3),
                  [x] "+r"(x), [w] "+r"(w), [x0] "+r"(x0), [x1] "=&r"(x1)
                :
                : "r4", "r5", "r6", "r8", "memory");
        if (left == 0) {
            return w;
        }
        x0 = 0;
    }
}

#else

static inline int32_t add_4(uint32_t even, uint32_t odd, uint32_t x_even, uint32_t x_odd,
                            int32_t sum)
{
    return nn_dsp_dot(odd, x_odd, nn_dsp_dot(even, x_even, sum));
}

static inline const int8_t *run_quad(struct quad *s, const int8_t *x, const int8_t *w,
                                     int32_t steps)
{
    for (; steps > 0; steps--, x += 4, w += 4 * QUAD) {
        const uint32_t even = nn_dsp_even(nn_dsp_load(x));
        const uint32_t odd = nn_dsp_odd(nn_dsp_load(x));
        const uint32_t w0 = nn_dsp_load(w);
        const uint32_t w1 = nn_dsp_load(w + 4);
        const uint32_t w2 = nn_dsp_load(w + 8);
        const uint32_t w3 = nn_dsp_load(w + 12);

        s->s0 = add_4(nn_dsp_even(w0), nn_dsp_even(w1), even, odd, s->s0);
        s->s1 = add_4(w0, w1, even, odd, s->s1);
        s->s2 = add_4(nn_dsp_even(w2), nn_dsp_even(w3), even, odd, s->s2);
        s->s3 = add_4(w2, w3, even, odd, s->s3);
    }
    return w;
}

#endif

static inline int8_t finish(int32_t twice, const int32_t *channel)
{
    return nn_tuned_requant(twice, channel[1], channel[2], channel[3]);
}

/* Twice the second channel's sum, parted from that of the first one. */
static inline int32_t part(int32_t both, int32_t first)
{
    return (int32_t)((uint32_t)both - (uint32_t)first) >> 7;
}

static void run_vector(const struct nn_tuned_fc *op, const int8_t *in, int8_t *out)
{
    const int32_t steps = op->in_depth / 4;
    const int32_t *c0 = op->channels;
    const int8_t *w = op->weights;

    for (int32_t left = op->out_depth; left > 0; left -= QUAD) {
        const int32_t *const c1 = c0 + NN_TUNED_WORDS;
        const int32_t *const c2 = c1 + NN_TUNED_WORDS;
        const int32_t *const c3 = c2 + NN_TUNED_WORDS;
        struct quad s = { c0[0], c1[0], c2[0], c3[0] };

        w = run_quad(&s, in, w, steps);
        out[0] = finish(s.s0 * 2, c0);
        if (left > 1) {
            out[1] = finish(part(s.s1, s.s0), c1);
        }
        if (left > 2) {
            out[2] = finish(s.s2 * 2, c2);
        }
        if (left > 3) {
            out[3] = finish(part(s.s3, s.s2), c3);
        }
        c0 = c3 + NN_TUNED_WORDS;
        out += QUAD;
    }
}

void nn_tuned_fc_s8(const struct nn_tuned_fc *op, const int8_t *in, int8_t *out)
{
    for (int32_t batch = 0; batch < op->batches; batch++) {
        run_vector(op, in + batch * op->in_depth, out + batch * op->out_depth);
    }
    nn_tuned_clamp(out, op->batches * op->out_depth, op->act_min, op->act_max);
}
