/* Weights times a vector by packed 16-bit products. SPDX-License-Identifier: Apache-2.0 */
#include "nn_sums_dsp.h"

#include "nn_dsp.h"

#define QUAD 4

/* Sums of four channels; run_quad adds `steps` > 0 times four inputs to each and returns the end
 * of their weights. x holds the inputs as halves: 0 and 2, 1 and 3, and so on. */
struct quad {
    int32_t s0, s1, s2, s3;
};

#if defined(__ARM_FEATURE_DSP)

/* Unrolled and entered in the middle, as in nn_tuned_product.c: 18 instructions of four bytes
 * for 16 products. */
#define UNROLLED 16
#define STEP_BYTES 72

#define CHANNEL(sum, w)                                \
    "sxtb16.w %[t], " w ", ror #8\n\t"                 \
    "sxtb16.w " w ", " w "\n\t"                        \
    "smlad  %[" sum "], " w ", %[x0], %[" sum "]\n\t"  \
    "smlad  %[" sum "], %[t], %[x1], %[" sum "]\n\t"

#define STEP                                           \
    "ldrd   %[x0], %[x1], [%[x]], #8\n\t"              \
    "ldm.w  %[w]!, {r4-r6, r8}\n\t"                    \
    CHANNEL("s0", "r4") CHANNEL("s1", "r5")            \
    CHANNEL("s2", "r6") CHANNEL("s3", "r8")

#define FOUR(x) x x x x

static inline __attribute__((always_inline)) const int8_t *
run_quad(struct quad *s, const uint32_t *x, const int8_t *w, int32_t steps)
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

static inline int32_t add_4(const uint32_t *x, const int8_t *w, int32_t sum)
{
    const uint32_t four = nn_dsp_load(w);

    return nn_dsp_dot(nn_dsp_odd(four), x[1], nn_dsp_dot(nn_dsp_even(four), x[0], sum));
}

static inline const int8_t *run_quad(struct quad *s, const uint32_t *x, const int8_t *w,
                                     int32_t steps)
{
    for (; steps > 0; steps--, x += 2, w += 4 * QUAD) {
        s->s0 = add_4(x, w, s->s0);
        s->s1 = add_4(x, w + 4, s->s1);
        s->s2 = add_4(x, w + 8, s->s2);
        s->s3 = add_4(x, w + 12, s->s3);
    }
    return w;
}

#endif

static void widen_word(uint32_t *to, uint32_t four)
{
    to[0] = nn_dsp_even(four);
    to[1] = nn_dsp_odd(four);
}

static void widen(uint32_t *to, const int8_t *in, int32_t depth)
{
    const int8_t *const end = in + depth;

    for (; end - in >= 4; in += 4, to += 2) {
        widen_word(to, nn_dsp_load(in));
    }
    if (in < end) {
        widen_word(to, nn_dsp_load_some(in, (int32_t)(end - in)));
    }
}

void nn_sums_dsp(const struct nn_sums *op, const int8_t *in, int32_t *sums, int8_t *scratch)
{
    uint32_t *const x = (uint32_t *)(void *)scratch; /* as the arena is aligned */
    const int32_t steps = (op->depth + 3) / 4;
    const int32_t *start = op->starts;
    const int8_t *w = op->weights;

    widen(x, in, op->depth);
    for (int32_t *const end = sums + op->channels; sums < end; sums += QUAD, start += QUAD) {
        struct quad s = { start[0], start[1], start[2], start[3] };

        w = run_quad(&s, x, w, steps);
        sums[0] = s.s0;
        sums[1] = s.s1;
        sums[2] = s.s2;
        sums[3] = s.s3;
    }
}
