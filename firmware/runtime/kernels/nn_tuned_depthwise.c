/* Depthwise convolution 3x3: lines of each channel as 16-bit pairs, two outputs at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#include "nn_tuned_depthwise.h"

#define TAPS 3
#define GROUP 4 /* channels widened together: the bytes of a word */

/* Channel after channel, and of each some lines of outputs; the assembly keeps it in this
 * order. Distances are in bytes. */
struct job {
    const uint32_t *line[TAPS]; /* what the first line of the first channel sees, widened */
    int8_t *out;
    int32_t out_step;
    const uint32_t *pairs_end;  /* of line[0]: where no pair of outputs is left */
    const uint32_t *last_end;   /* and that of the channel's last line */
    const int32_t *words;
    int32_t line_next;          /* from pairs_end to the next line */
    int32_t line_pitch;         /* and from its start */
    int32_t line_back;          /* from the pairs' outputs to the next line's */
    int32_t next;               /* from behind the last line to the next channel's first */
    int32_t pitch;              /* and from its first */
    int32_t back;               /* from behind the last line's outputs to the next channel's */
    const int32_t *words_end;
    int32_t is_odd;             /* an output is left behind the pairs */
};

#if defined(__ARM_FEATURE_DSP)

/* One line's part of two outputs, sums r6 and r7. Stride 1: inputs x0 x1 and x2 x3; stride 2:
 * the next word as well. */
#define LINE_OF_STRIDE_1(line, w01, w12)      \
    "ldrd   r4, r5, [" line "], #4\n\t"       \
    "smlad  r6, r4, " w01 ", r6\n\t"          \
    "smlatb r7, r4, " w01 ", r7\n\t"          \
    "smlabt r6, r5, " w12 ", r6\n\t"          \
    "smlad  r7, r5, " w12 ", r7\n\t"
#define LINE_OF_STRIDE_2(line, w01, w12)      \
    "ldrd   r4, r5, [" line "], #8\n\t"       \
    "smlad  r6, r4, " w01 ", r6\n\t"          \
    "ldr    r4, [" line "]\n\t"               \
    "smlabt r6, r5, " w12 ", r6\n\t"          \
    "smlad  r7, r5, " w01 ", r7\n\t"          \
    "smlabt r7, r4, " w12 ", r7\n\t"
/* Of one output, at either stride. */
#define LINE_OF_LAST(line, w01, w12)          \
    "ldrd   r4, r5, [" line "]\n\t"           \
    "smlad  r6, r4, " w01 ", r6\n\t"          \
    "smlabt r6, r5, " w12 ", r6\n\t"
#define LINES_OF(LINE) LINE("r0", "r8", "r9") LINE("r1", "r10", "r11") LINE("r2", "r12", "lr")

/* nn_tuned_requant or nn_tuned_linear, but for the store, of one sum or both. */
#define SCALE_LINEAR                          \
    "ldrd   r4, r5, [sp, #8]\n\t"             \
    "smmlar r6, r6, r4, r5\n\t"               \
    "ssat   r6, #8, r6, asr #8\n\t"
#define SCALE_BOTH_LINEAR SCALE_LINEAR        \
    "smmlar r7, r7, r4, r5\n\t"               \
    "ssat   r7, #8, r7, asr #8\n\t"
#define SCALE_SIGNED                          \
    "ldrd   r4, r5, [sp, #8]\n\t"             \
    "add    r5, r5, r6, asr #31\n\t"          \
    "smmlar r6, r6, r4, r5\n\t"               \
    "ldr    r5, [sp, #16]\n\t"                \
    "asr    r6, r6, r5\n\t"                   \
    "ssat   r6, #8, r6\n\t"
#define SCALE_BOTH_SIGNED SCALE_SIGNED        \
    "ldr    r5, [sp, #12]\n\t"                \
    "add    r5, r5, r7, asr #31\n\t"          \
    "smmlar r7, r7, r4, r5\n\t"               \
    "ldr    r5, [sp, #16]\n\t"                \
    "asr    r7, r7, r5\n\t"                   \
    "ssat   r7, #8, r7\n\t"

/* All of the fourteen registers hold weights, lines, sums or inputs. The rest lies on the
 * stack: start twice, multiplier, rounding, shift; then the job from out_step on. */
#define RUN(LINE, SCALE_BOTH, SCALE)                              \
    __asm__ volatile("push   {r7}\n\t" /* a frame pointer */      \
                     "add    r12, r0, #16\n\t"                    \
                     "ldm    r12, {r1-r11, lr}\n\t"               \
                     "push   {r1-r11, lr}\n\t"                    \
                     "sub    sp, sp, #20\n\t"                     \
                     "ldm    r0, {r0-r3}\n"                       \
                     "1:\n\t" /* a channel */                     \
                     "ldr    r4, [sp, #32]\n\t"                   \
                     "ldm    r4!, {r5-r8}\n\t"                    \
                     "strd   r5, r5, [sp]\n\t"                    \
                     "strd   r6, r7, [sp, #8]\n\t"                \
                     "str    r8, [sp, #16]\n\t"                   \
                     "ldm    r4!, {r8-r12, lr}\n\t"               \
                     "str    r4, [sp, #32]\n"                     \
                     "2:\n\t" /* a line */                        \
                     "ldr    r4, [sp, #24]\n\t"                   \
                     "cmp    r0, r4\n\t"                          \
                     "beq    4f\n"                                \
                     "3:\n\t" /* two outputs */                   \
                     "ldrd   r6, r7, [sp]\n\t"                    \
                     LINES_OF(LINE)                               \
                     SCALE_BOTH                                   \
                     "ldr    r5, [sp, #20]\n\t"                   \
                     "strb   r6, [r3]\n\t"                        \
                     "strb   r7, [r3, r5]\n\t"                    \
                     "add    r3, r3, r5, lsl #1\n\t"              \
                     "ldr    r4, [sp, #24]\n\t"                   \
                     "cmp    r0, r4\n\t"                          \
                     "bne    3b\n"                                \
                     "4:\n\t"                                     \
                     "ldr    r4, [sp, #64]\n\t"                   \
                     "cbz    r4, 5f\n\t"                          \
                     "ldr    r6, [sp]\n\t"                        \
                     LINES_OF(LINE_OF_LAST)                       \
                     SCALE                                        \
                     "strb   r6, [r3]\n"                          \
                     "5:\n\t" /* the next line */                 \
                     "ldrd   r4, r5, [sp, #36]\n\t"               \
                     "add    r0, r0, r4\n\t"                      \
                     "add    r1, r1, r4\n\t"                      \
                     "add    r2, r2, r4\n\t"                      \
                     "ldr    r4, [sp, #44]\n\t"                   \
                     "add    r3, r3, r4\n\t"                      \
                     "ldrd   r6, r7, [sp, #24]\n\t"               \
                     "add    r5, r5, r6\n\t"                      \
                     "str    r5, [sp, #24]\n\t"                   \
                     "cmp    r6, r7\n\t"                          \
                     "bne    2b\n\t"                              \
                     "ldrd   r4, r5, [sp, #48]\n\t" /* the next channel */ \
                     "add    r0, r0, r4\n\t"                      \
                     "add    r1, r1, r4\n\t"                      \
                     "add    r2, r2, r4\n\t"                      \
                     "ldrd   r6, r7, [sp, #24]\n\t"               \
                     "add    r6, r6, r4\n\t"                      \
                     "add    r7, r7, r5\n\t"                      \
                     "strd   r6, r7, [sp, #24]\n\t"               \
                     "ldrd   r4, r5, [sp, #56]\n\t"               \
                     "add    r3, r3, r4\n\t"                      \
                     "ldr    r4, [sp, #32]\n\t"                   \
                     "cmp    r4, r5\n\t"                          \
                     "bne    1b\n\t"                              \
                     "add    sp, sp, #68\n\t"                     \
                     "pop    {r7}"                                \
                     : "+r"(r0)                                   \
                     :                                            \
                     : "r1", "r2", "r3", "r4", "r5", "r6", "r8",  \
                       "r9", "r10", "r11", "r12", "lr", "cc", "memory")

static __attribute__((noinline)) void run(const struct job *job, int32_t stride,
                                          int is_linear)
{
    register const struct job *r0 __asm__("r0") = job;

    if (stride == 1 && is_linear) {
        RUN(LINE_OF_STRIDE_1, SCALE_BOTH_LINEAR, SCALE_LINEAR);
    } else if (stride == 1) {
        RUN(LINE_OF_STRIDE_1, SCALE_BOTH_SIGNED, SCALE_SIGNED);
    } else if (is_linear) {
        RUN(LINE_OF_STRIDE_2, SCALE_BOTH_LINEAR, SCALE_LINEAR);
    } else {
        RUN(LINE_OF_STRIDE_2, SCALE_BOTH_SIGNED, SCALE_SIGNED);
    }
}

/* Two pixels a turn, four channels of them, until the first channel's end. */
static inline void spread_pairs(const int8_t *line, int32_t step, uint32_t *to,
                                const uint32_t *end, int32_t pitch)
{
    uint32_t p, q, even_p, even_q, word;

    __asm__ volatile("1:\n\t"
                     "ldr    %[p], [%[line]]\n\t"
                     "ldr    %[q], [%[line], %[step]]\n\t"
                     "add    %[line], %[line], %[step], lsl #1\n\t"
                     "sxtb16 %[even_p], %[p]\n\t"
                     "sxtb16 %[even_q], %[q]\n\t"
                     "sxtb16 %[p], %[p], ror #8\n\t"
                     "sxtb16 %[q], %[q], ror #8\n\t"
                     "pkhbt  %[word], %[p], %[q], lsl #16\n\t"
                     "str    %[word], [%[to], %[pitch]]\n\t"
                     "pkhtb  %[word], %[even_q], %[even_p], asr #16\n\t"
                     "str    %[word], [%[to], %[pitch], lsl #1]\n\t"
                     "pkhtb  %[word], %[q], %[p], asr #16\n\t"
                     "str    %[word], [%[to], %[thrice]]\n\t"
                     "pkhbt  %[word], %[even_p], %[even_q], lsl #16\n\t"
                     "str    %[word], [%[to]], #4\n\t"
                     "cmp    %[to], %[end]\n\t"
                     "bne    1b"
                     : [line] "+r"(line), [to] "+r"(to), [p] "=&r"(p), [q] "=&r"(q),
                       [even_p] "=&r"(even_p), [even_q] "=&r"(even_q), [word] "=&r"(word)
                     : [step] "r"(step), [end] "r"(end), [pitch] "r"(pitch * 4),
                       [thrice] "r"(pitch * 12)
                     : "cc", "memory");
}

#else

/* Three inputs of a line, the first of them the half at `at`, with its weights. */
static int32_t line_sum(const uint32_t *line, int32_t at, const int32_t *w)
{
    int32_t acc = 0;

    for (int32_t tap = 0; tap < TAPS; tap++, at++) {
        const uint32_t weights = (uint32_t)w[tap / 2]; /* (w0, w1), (w1, w2) */

        acc += nn_dsp_half(line[at / 2], at & 1) * nn_dsp_half(weights, (tap + 1) / 2);
    }
    return acc;
}

static void run(const struct job *job, int32_t stride, int is_linear)
{
    const int32_t pair_words = (int32_t)(job->pairs_end - job->line[0]);
    const int32_t count = 2 * pair_words / stride + job->is_odd;
    const int32_t lines = (job->pitch - job->next) / job->line_pitch;
    int32_t at = 0;
    int8_t *out = job->out;

    for (const int32_t *c = job->words; c < job->words_end; c += NN_TUNED_DEPTHWISE_WORDS) {
        for (int32_t y = 0; y < lines; y++) {
            for (int32_t i = 0; i < count; i++) {
                int32_t acc = c[0];

                for (int32_t tap = 0; tap < TAPS; tap++) {
                    acc += line_sum(job->line[tap] + at, i * stride,
                                    c + NN_TUNED_WORDS + 2 * tap);
                }
                out[i * job->out_step] = is_linear
                                             ? nn_tuned_linear(acc, c[1], c[2], c[3])
                                             : nn_tuned_requant(acc, c[1], c[2], c[3]);
            }
            at += job->line_pitch / 4;
            out += job->line_back + 2 * pair_words / stride * job->out_step;
        }
        at += job->next / 4;
        out += job->back;
    }
}

#endif

static void fill(const struct nn_tuned_depthwise *op, uint32_t *to, int32_t words)
{
    const uint32_t zeros = nn_dsp_even((uint8_t)op->zero * 0x01010101u);

    for (int32_t i = 0; i < words; i++) {
        to[i] = zeros;
    }
}

/* Two pixels of four channels: a word for each channel, `pitch` words apart. */
static inline void spread(uint32_t first, uint32_t second, uint32_t *to, int32_t pitch)
{
    const uint32_t even0 = nn_dsp_even(first);
    const uint32_t even1 = nn_dsp_even(second);
    const uint32_t odd0 = nn_dsp_odd(first);
    const uint32_t odd1 = nn_dsp_odd(second);

    to[0] = nn_dsp_lower(even0, even1);
    to[pitch] = nn_dsp_lower(odd0, odd1);
    to += 2 * pitch;
    to[0] = nn_dsp_upper(even0, even1);
    to[pitch] = nn_dsp_upper(odd0, odd1);
}

#if !defined(__ARM_FEATURE_DSP)

static inline void spread_pairs(const int8_t *line, int32_t step, uint32_t *to,
                                const uint32_t *end, int32_t pitch)
{
    for (; to < end; to++, line += 2 * step) {
        spread(nn_dsp_load(line), nn_dsp_load(line + step), to, pitch);
    }
}

#endif

/* Four channels of a line. What padding shows at its ends is there already, but for the halves
 * that share a word with an input. */
static __attribute__((noinline)) void widen_group(const struct nn_tuned_depthwise *op,
                                                  const int8_t *line, uint32_t *to)
{
    const uint32_t zeros = (uint8_t)op->zero * 0x01010101u;
    const int32_t step = op->along.in_step;
    const int32_t pitch = op->slots * op->line_words;

    to += op->along.pad / 2;
    if (op->along.pad & 1) {
        spread(zeros, nn_dsp_load(line), to, pitch);
        line += step;
        to++;
    }
    if (op->line_pairs > 0) {
        uint32_t *const end = to + op->line_pairs;

        spread_pairs(line, step, to, end, pitch);
        line += 2 * step * op->line_pairs;
        to = end;
    }
    if (op->line_is_odd) {
        spread(nn_dsp_load(line), zeros, to, pitch);
    }
}

/* The last channels of a line, fewer than four: one after the other. */
static void widen_rest(const struct nn_tuned_depthwise *op, const int8_t *line, int32_t n,
                       uint32_t *to)
{
    const int32_t inputs = 2 * op->line_pairs + op->line_is_odd + (op->along.pad & 1);

    for (; n > 0; n--, line++, to += op->slots * op->line_words) {
        for (int32_t x = 0; x < inputs; x++) {
            const int32_t at = x + op->along.pad;
            const int32_t value = line[x * op->along.in_step];

            to[at / 2] = at & 1 ? (to[at / 2] & 0xffff) | (uint32_t)value << 16
                                : (to[at / 2] & 0xffff0000) | ((uint32_t)value & 0xffff);
        }
    }
}

/* `left` channels of a line, or of one of padding. */
static void widen(const struct nn_tuned_depthwise *op, const int8_t *in, int32_t y,
                  int32_t left, uint32_t *to)
{
    const int32_t pitch = op->slots * op->line_words;
    const int8_t *line = in + y * op->across.in_step;

    if (y < 0 || y >= op->across.in) {
        for (; left > 0; left--, to += pitch) {
            fill(op, to, op->line_words);
        }
        return;
    }
    for (; left >= GROUP; left -= GROUP, line += GROUP, to += GROUP * pitch) {
        widen_group(op, line, to);
    }
    widen_rest(op, line, left, to);
}

/* `count` channels of an image, words those of the first. */
static __attribute__((noinline)) void
run_pass(const struct nn_tuned_depthwise *op, const int8_t *in, int32_t count,
                     const int32_t *words, int8_t *out, uint32_t *ring)
{
    const struct nn_tuned_axis *const along = &op->along;
    const struct nn_tuned_axis *const across = &op->across;
    const int32_t pairs = along->out / 2;
    const int32_t pair_words = pairs * along->stride;
    const int32_t lines = op->slots > TAPS ? across->out : 1;
    struct job job = {
        .out = out,
        .out_step = along->out_step,
        .words = words,
        .line_next = (across->stride * op->line_words - pair_words) * 4,
        .line_pitch = across->stride * op->line_words * 4,
        .line_back = across->out_step - pairs * 2 * along->out_step,
        .next = (op->slots - lines * across->stride) * op->line_words * 4,
        .pitch = op->slots * op->line_words * 4,
        .back = 1 - lines * across->out_step,
        .words_end = words + count * NN_TUNED_DEPTHWISE_WORDS,
        .is_odd = along->out & 1,
    };
    int32_t next = 0; /* line to widen next, counted from the first line of padding */

    for (int32_t y = 0; y < across->out; y += lines) {
        const int32_t top = y * across->stride;
        const int32_t below = top + (lines - 1) * across->stride + TAPS;

        for (next = next < top ? top : next; next < below; next++) {
            const int32_t from = next - across->pad;

            if (lines == 1 || (from >= 0 && from < across->in)) {
                widen(op, in, from, count, ring + next % op->slots * op->line_words);
            }
        }
        for (int32_t tap = 0; tap < TAPS; tap++) {
            job.line[tap] = ring + (top + tap) % op->slots * op->line_words;
        }
        job.pairs_end = job.line[0] + pair_words;
        job.last_end = job.pairs_end + (lines - 1) * across->stride * op->line_words;
        run(&job, along->stride, op->is_linear);
        job.out += across->out_step;
    }
}

void nn_tuned_depthwise_s8(const struct nn_tuned_depthwise *op, const int8_t *in,
                           int8_t *out, uint32_t *ring)
{
    const int32_t in_bytes = op->along.in * op->across.in * op->channels;
    const int32_t out_bytes = op->along.out * op->across.out * op->channels;
    int8_t *to = out;

    fill(op, ring, op->pass * op->slots * op->line_words);
    for (int32_t batch = 0; batch < op->batches; batch++) {
        for (int32_t first = 0; first < op->channels; first += op->pass) {
            const int32_t left = op->channels - first;

            run_pass(op, in + first, left < op->pass ? left : op->pass,
                     op->words + first * NN_TUNED_DEPTHWISE_WORDS, to + first, ring);
        }
        in += in_bytes;
        to += out_bytes;
    }
    nn_tuned_clamp(out, op->batches * out_bytes, op->act_min, op->act_max);
}
