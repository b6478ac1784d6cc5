/* Depthwise convolution of any filter: four channels at a time, tap after tap.
 * SPDX-License-Identifier: Apache-2.0 */
#include "nn_tuned_depthwise_any.h"

#define QUAD 4

/* How an output pixel sees the taps; the assembly knows the order. */
struct view {
    const intptr_t *taps;     /* how far from the first one each of them lies */
    int32_t entry;            /* bytes of the unrolled steps to leave out the first time */
    const intptr_t *taps_end;
};

/* Channels of a quad, four or fewer. Returns its end. */
static const int32_t *run_some(const struct view *view, const int32_t *quad, const int8_t *in,
                               int32_t count, int is_linear, int8_t *out)
{
    const int32_t words = is_linear ? 2 : 3;
    const int32_t *weights = quad + QUAD;
    int32_t sums[QUAD] = { quad[0], quad[1], quad[2], quad[3] };

    for (const intptr_t *tap = view->taps; tap < view->taps_end; tap++, weights += 2) {
        for (int32_t i = 0; i < count && i < QUAD; i++) {
            const int32_t half = (int16_t)((uint32_t)weights[i & 1] >> (i & 2) * 8);

            sums[i] += ((const int8_t *)((intptr_t)in + *tap))[i] * half;
        }
    }
    for (int32_t i = 0; i < count && i < QUAD; i++) {
        const int32_t *const scale = weights + i * words;

        out[i] = is_linear ? nn_tuned_linear(sums[i], scale[0], scale[1], 8)
                           : nn_tuned_requant(sums[i], scale[0], scale[1], scale[2]);
    }
    return weights + QUAD * words;
}

#if defined(__ARM_FEATURE_DSP)

/* Unrolled and entered in the middle, as in nn_tuned_product.c: 9 instructions of four bytes
 * for 4 products. */
#define UNROLLED 16
#define STEP_BYTES 36
#define STEP                                 \
    "ldr.w  r2, [r0], #4\n\t"                \
    "ldrd   r8, r9, [r1], #8\n\t"            \
    "ldr.w  r2, [r2, r10]\n\t"               \
    "sxtb16.w r3, r2, ror #8\n\t"            \
    "sxtb16.w r2, r2\n\t"                    \
    "smlabb r4, r2, r8, r4\n\t"              \
    "smlatt r6, r2, r8, r6\n\t"              \
    "smlabb r5, r3, r9, r5\n\t"              \
    "smlatt r7, r3, r9, r7\n\t"
#define FOUR(x) x x x x

/* nn_tuned_linear of two sums, nn_tuned_requant of one. */
#define LINEAR(s, t)                         \
    "ldm    r1!, {r2, r3, r8, r9}\n\t"       \
    "smmlar " s ", " s ", r2, r3\n\t"        \
    "smmlar " t ", " t ", r8, r9\n\t"        \
    "ssat   " s ", #8, " s ", asr #8\n\t"    \
    "ssat   " t ", #8, " t ", asr #8\n\t"
#define SIGNED(s)                            \
    "ldm    r1!, {r2, r3, r8}\n\t"           \
    "add    r3, r3, " s ", asr #31\n\t"      \
    "smmlar " s ", " s ", r2, r3\n\t"        \
    "asr    " s ", " s ", r8\n\t"            \
    "ssat   " s ", #8, " s "\n\t"

/* Channels r10 to r12, two words of the view on the stack. */
#define RUN_QUADS(SCALE)                     \
    __asm__ volatile(                        \
        "push   {r7}\n\t" /* the frame pointer of some builds */ \
        "ldm    r0, {r0, r2, lr}\n\t"        \
        "push   {r0, r2}\n"                  \
        "1:\n\t"                             \
        "ldm    r1!, {r4-r7}\n\t"            \
        "ldrd   r0, r2, [sp]\n\t"            \
        "add    pc, r2\n\t" /* pc is four bytes ahead: behind the nop */ \
        "nop\n"                              \
        "2:\n\t"                             \
        FOUR(FOUR(STEP))                     \
        "cmp    r0, lr\n\t"                  \
        "bne    2b\n\t"                      \
        SCALE                                \
        "strb   r4, [r11], #1\n\t"           \
        "strb   r5, [r11], #1\n\t"           \
        "strb   r6, [r11], #1\n\t"           \
        "strb   r7, [r11], #1\n\t"           \
        "adds   r10, #4\n\t"                 \
        "cmp    r10, r12\n\t"                \
        "bne    1b\n\t"                      \
        "add    sp, sp, #8\n\t"              \
        "pop    {r7}"                        \
        : "+r"(r0), "+r"(r1), "+r"(r10), "+r"(r11) \
        : "r"(r12)                           \
        : "r2", "r3", "r4", "r5", "r6", "r8", "r9", "lr", "cc", "memory")

/* `count` channels, a multiple of 4, > 0. Returns the end of their quads. */
static __attribute__((noinline)) const int32_t *
run_quads(const struct view *view, const int32_t *quads, const int8_t *in, int32_t count,
          int is_linear, int8_t *out)
{
    register const struct view *r0 __asm__("r0") = view;
    register const int32_t *r1 __asm__("r1") = quads;
    register const int8_t *r10 __asm__("r10") = in;
    register int8_t *r11 __asm__("r11") = out;
    register const int8_t *r12 __asm__("r12") = in + count;

    if (is_linear) {
        RUN_QUADS(LINEAR("r4", "r5") LINEAR("r6", "r7"));
    } else {
        RUN_QUADS(SIGNED("r4") SIGNED("r5") SIGNED("r6") SIGNED("r7"));
    }
    return r1;
}

#else

#define UNROLLED 1
#define STEP_BYTES 0

static const int32_t *run_quads(const struct view *view, const int32_t *quads,
                                const int8_t *in, int32_t count, int is_linear, int8_t *out)
{
    for (int32_t channel = 0; channel < count; channel += QUAD) {
        quads = run_some(view, quads, in + channel, QUAD, is_linear, out + channel);
    }
    return quads;
}

#endif

/* The taps of a window at (row, column), whose first one is `from`; those outside the image are
 * `zeros`. */
static void look(const struct nn_window *w, int32_t row, int32_t column, const int8_t *from,
                 const int8_t *zeros, intptr_t *taps)
{
    for (int32_t v = 0; v < w->filter_h; v++) {
        const int32_t y = row + v * w->dilation_h;

        for (int32_t u = 0; u < w->filter_w; u++) {
            const int32_t x = column + u * w->dilation_w;
            const int is_inside = y >= 0 && y < w->in_h && x >= 0 && x < w->in_w;

            *taps++ = is_inside ? ((y - row) * w->in_w + x - column) * w->in_ch
                                : (intptr_t)zeros - (intptr_t)from;
        }
    }
}

/* All channels of a pixel. Where they are no multiple of 4, the first two quads share some. */
static void run_pixel(const struct nn_tuned_depthwise_any *op, const struct view *view,
                      const int8_t *from, int8_t *out)
{
    const int32_t channels = op->window.out_ch;
    const int32_t *quads = op->quads;
    int32_t rest = channels % QUAD;

    if (channels < QUAD) {
        (void)run_some(view, quads, from, channels, op->is_linear, out);
        return;
    }
    if (rest > 0) {
        quads = run_quads(view, quads, from, QUAD, op->is_linear, out);
    }
    if (channels > rest) {
        (void)run_quads(view, quads, from + rest, channels - rest, op->is_linear, out + rest);
    }
}

void nn_tuned_depthwise_any_s8(const struct nn_tuned_depthwise_any *op, const int8_t *in,
                               int8_t *out, void *scratch)
{
    const struct nn_window *const w = &op->window;
    const int32_t count = w->filter_h * w->filter_w;
    const int32_t entry = (-count & (UNROLLED - 1)) * STEP_BYTES;
    const int32_t last_row = w->in_h - (w->filter_h - 1) * w->dilation_h - 1;
    const int32_t last_column = w->in_w - (w->filter_w - 1) * w->dilation_w - 1;
    intptr_t *const inside = scratch; /* as all windows see it that show no padding */
    intptr_t *const taps = inside + count;
    int8_t *const zeros = (int8_t *)(taps + count);
    const struct view views[2] = { { taps, entry, taps + count },
                                   { inside, entry, inside + count } };
    int8_t *to = out;

    memset(zeros, op->zero, (size_t)w->in_ch);
    for (int32_t i = 0; i < count; i++) {
        const int32_t down = i / w->filter_w * w->dilation_h;
        const int32_t along = i % w->filter_w * w->dilation_w;

        inside[i] = (down * w->in_w + along) * w->in_ch;
    }
    for (int32_t batch = 0; batch < w->batches; batch++, in += w->in_h * w->in_w * w->in_ch) {
        for (int32_t y = 0; y < w->out_h; y++) {
            const int32_t row = y * w->stride_h - w->pad_h;

            for (int32_t x = 0; x < w->out_w; x++, to += w->out_ch) {
                const int32_t column = x * w->stride_w - w->pad_w;
                const int8_t *const from = in + (row * w->in_w + column) * w->in_ch;
                const int is_inside =
                    row >= 0 && row <= last_row && column >= 0 && column <= last_column;

                if (!is_inside) {
                    look(w, row, column, from, zeros, taps);
                }
                run_pixel(op, &views[is_inside], from, to);
            }
        }
    }
    nn_tuned_clamp(out, (int32_t)(to - out), op->act_min, op->act_max);
}
