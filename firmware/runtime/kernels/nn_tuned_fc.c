/* Fully connected layer, four channels by four inputs at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#include "nn_tuned_fc.h"

#define QUAD 4

/* Sums of four channels; run_quad adds `steps` > 0 times four inputs to each and returns the
 * end of their weights. */
struct quad {
    int32_t s0, s1, s2, s3;
};

#if defined(__ARM_FEATURE_DSP)

/* Unrolled and entered in the middle, as in nn_tuned_product.c: 20 instructions of four
 * bytes for 16 products. */
#define UNROLLED 16
#define STEP_BYTES 80

#define CHANNEL(sum, w)                                 \
    "sxtb16.w %[t], " w ", ror #8\n\t"                  \
    "sxtb16.w " w ", " w "\n\t"                         \
    "smlad  %[" sum "], " w ", %[x0], %[" sum "]\n\t"   \
    "smlad  %[" sum "], %[t], %[x1], %[" sum "]\n\t"

#define STEP                                            \
    "ldr.w  %[x0], [%[x]], #4\n\t"                      \
    "ldm.w  %[w]!, {r4-r6, r8}\n\t"                     \
    "sxtb16.w %[x1], %[x0], ror #8\n\t"                 \
    "sxtb16.w %[x0], %[x0]\n\t"                         \
    CHANNEL("s0", "r4") CHANNEL("s1", "r5")             \
    CHANNEL("s2", "r6") CHANNEL("s3", "r8")

#define FOUR(x) x x x x

static inline __attribute__((always_inline)) const int8_t *
run_quad(struct quad *s, const int8_t *x, const int8_t *w, int32_t steps)
{
    int32_t x0 = (-steps & (UNROLLED - 1)) * STEP_BYTES;

    for (int32_t left = (steps - 1) / UNROLLED;; left--) {
        int32_t x1, t;

        __asm__("add    pc, %[x0]\n\t" /* pc is four bytes ahead: behind the nop */
                "nop\n\t"
                FOUR(FOUR(STEP))
                : [s0] "+r"(s->s0), [s1] "+r"(s->s1), [s2] "+r"(s->s2), [s3] "+r"(s->s3),
                  [x] "+r"(x), [w] "+r"(w), [x0] "+r"(x0), [x1] "=&r"(x1), [t] "=&r"(t)
                :
                : "r4", "r5", "r6", "r8", "memory");
        if (left == 0) {
            return w;
        }
        x0 = 0;
    }
}

#else

static inline int32_t add_4(uint32_t even, uint32_t odd, const int8_t *w, int32_t sum)
{
    const uint32_t four = nn_dsp_load(w);

    return nn_dsp_dot(nn_dsp_odd(four), odd, nn_dsp_dot(nn_dsp_even(four), even, sum));
}

static inline const int8_t *run_quad(struct quad *s, const int8_t *x, const int8_t *w,
                                     int32_t steps)
{
    for (; steps > 0; steps--, x += 4, w += 4 * QUAD) {
        const uint32_t even = nn_dsp_even(nn_dsp_load(x));
        const uint32_t odd = nn_dsp_odd(nn_dsp_load(x));

        s->s0 = add_4(even, odd, w, s->s0);
        s->s1 = add_4(even, odd, w + 4, s->s1);
        s->s2 = add_4(even, odd, w + 8, s->s2);
        s->s3 = add_4(even, odd, w + 12, s->s3);
    }
    return w;
}

#endif

static inline int8_t finish(int32_t sum, const int32_t *channel)
{
    return nn_tuned_requant(sum * 2, channel[1], channel[2], channel[3]);
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
        out[0] = finish(s.s0, c0);
        if (left > 1) {
            out[1] = finish(s.s1, c1);
        }
        if (left > 2) {
            out[2] = finish(s.s2, c2);
        }
        if (left > 3) {
            out[3] = finish(s.s3, c3);
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
