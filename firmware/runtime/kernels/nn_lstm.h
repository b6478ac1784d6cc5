/* Long short-term memory over a sequence, int8 activations, int16 cell state.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_LSTM_H
#define NN_LSTM_H

#include <stdint.h>

enum { NN_LSTM_INPUT, NN_LSTM_FORGET, NN_LSTM_CELL, NN_LSTM_OUTPUT, NN_LSTM_GATES };

struct nn_lstm_gate {
    const int8_t *x_weights;      /* [cells][in_depth] */
    const int8_t *h_weights;      /* [cells][cells] */
    const int32_t *x_bias;        /* [cells], the input's zero point folded in */
    const int32_t *h_bias;        /* [cells]: the hidden state's zero point, folded */
    int32_t x_multiplier;         /* both sums -> Q3.12 */
    int32_t x_shift;
    int32_t h_multiplier;
    int32_t h_shift;
};

struct nn_lstm {
    int32_t batches;
    int32_t steps;
    int32_t in_depth;
    int32_t cells;
    int32_t in_batch_stride;      /* elements from a batch, a time step, to the next */
    int32_t in_step_stride;
    int32_t out_batch_stride;
    int32_t out_step_stride;
    struct nn_lstm_gate gates[NN_LSTM_GATES];
    int32_t forget_multiplier;    /* forget gate * cell -> cell */
    int32_t forget_shift;
    int32_t input_multiplier;     /* input gate * cell gate -> cell */
    int32_t input_shift;
    int32_t output_multiplier;    /* output gate * tanh(cell) -> output */
    int32_t output_shift;
    int32_t tanh_multiplier;      /* cell -> 3 times the argument in Q3.12; fits int32 */
    int32_t tanh_shift;           /* to the right, in [0, 15] */
    int32_t cell_clip;            /* in [0, 32767]; 0: none */
    int32_t out_offset;           /* the output's zero point */
    const uint16_t *sigmoid;      /* [256]: graph/ops/sigmoid.py */
};

/* hidden [batches][cells] and cell [batches][cells] are the state, starting at their zero
 * points; the cell's is 0. Output and hidden state are quantised alike. No overlap. */
void nn_lstm_s8(const struct nn_lstm *op, const int8_t *in, int8_t *out, int8_t *hidden,
                int16_t *cell);

#endif
