/* Fully connected layer: some channels at a time, each input loaded once for them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "nn_scalar_fc.h"

#define CHANNELS NN_SCALAR_FC_CHANNELS

static inline __attribute__((always_inline)) void
finish(const int32_t *acc, const int32_t *words, int32_t count, int is_short, int8_t *out)
{
    for (const int32_t *const end = acc + count; acc != end; words += NN_SCALAR_WORDS) {
        *out++ = (int8_t)nn_scalar_requant(*acc++, words, is_short);
    }
}

static void run(const struct nn_scalar_fc *op, const int8_t *in, int8_t *out)
{
    const int8_t *const end = in + op->in_depth;
    const int32_t *words = op->channels;
    const int8_t *w = op->weights;

    for (int32_t left = op->out_depth; left > 0; left -= CHANNELS) {
        const int32_t count = left < CHANNELS ? left : CHANNELS;
        int32_t acc[CHANNELS];

        w = nn_scalar_fc_block(acc, words, NN_SCALAR_WORDS, in, end, w);
        if (op->is_short) {
            finish(acc, words, count, 1, out);
        } else {
            finish(acc, words, count, 0, out);
        }
        words += CHANNELS * NN_SCALAR_WORDS;
        out += CHANNELS;
    }
}

void nn_scalar_fc_s8(const struct nn_scalar_fc *op, const int8_t *in, int8_t *out)
{
    int8_t *to = out;

    for (int32_t batch = 0; batch < op->batches; batch++) {
        run(op, in, to);
        in += op->in_depth;
        to += op->out_depth;
    }
    nn_scalar_clamp(out, op->batches * op->out_depth, op->act_min, op->act_max);
}
