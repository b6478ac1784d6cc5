/* Depthwise convolution 3x3 for cores with packed 16-bit products.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_TUNED_DEPTHWISE_H
#define NN_TUNED_DEPTHWISE_H

#include "nn_tuned.h"

/* Words of a channel: NN_TUNED_WORDS, then of each filter line the pairs of halves (w0, w1)
 * and (w1, w2). Start and weights are scaled: sums come doubled, or as linear outputs take
 * them. */
#define NN_TUNED_DEPTHWISE_WORDS (NN_TUNED_WORDS + 6)

/* One of the image's two axes. Outputs lie as far apart in out as inputs in in, or nearer. */
struct nn_tuned_axis {
    int32_t in;       /* inputs along it */
    int32_t out;
    int32_t stride;
    int32_t pad;      /* before the first input */
    int32_t in_step;  /* bytes from an input to the next */
    int32_t out_step;
};

struct nn_tuned_depthwise {
    int32_t batches;
    int32_t channels;         /* in and out */
    int32_t pass;             /* channels widened together, a multiple of 4 */
    int32_t slots;            /* lines of scratch for each: 3 in a ring, or all, padding too */
    struct nn_tuned_axis along;  /* a line: rows or columns, whichever run faster; stride 1
                                  * or 2 */
    struct nn_tuned_axis across; /* from line to line */
    int32_t line_words;       /* of one channel of a widened line: two inputs a word, and one
                               * more than the pairs of outputs need: (along.out + 1) / 2 *
                               * along.stride + 1 */
    int32_t line_pairs;       /* words of it that hold two inputs */
    int8_t line_is_odd;       /* an input is left behind them */
    int8_t zero;              /* the input's zero point, which padding holds */
    int8_t act_min;
    int8_t act_max;
    int8_t is_linear;         /* outputs are nn_tuned_linear's, with a shift of 8 */
    const int32_t *words;     /* [channels][NN_TUNED_DEPTHWISE_WORDS] */
};

/* in [batches][height][width][channels], out likewise, ring
 * [pass][slots][line_words]. All inputs of a line of outputs in `pass` channels are read before
 * it is written. So with all channels in a pass, in and out may overlap as
 * plan/kernels/tuned.py computes; with fewer, they may be the same where strides are 1 and
 * sizes the same, or where the whole image has its slots. */
void nn_tuned_depthwise_s8(const struct nn_tuned_depthwise *op, const int8_t *in,
                           int8_t *out, uint32_t *ring);

#endif
