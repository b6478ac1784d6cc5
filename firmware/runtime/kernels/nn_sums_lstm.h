/* Long short-term memory: nn_sums for its gates. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_SUMS_LSTM_H
#define NN_SUMS_LSTM_H

#include "nn_lstm.h"
#include "nn_scale.h"
#include "nn_sums.h"

#define NN_SUMS_LSTM_MIDDLE 255 /* of the curve: where its argument is 0 */

struct nn_sums_lstm {
    int32_t batches;
    int32_t steps;
    int32_t in_depth;
    int32_t cells;
    int32_t in_batch_stride;      /* elements from a batch, a time step, to the next */
    int32_t in_step_stride;
    int32_t out_batch_stride;
    int32_t out_step_stride;
    nn_sums_fn *sums;
    struct nn_sums x;             /* gate after gate, as in enum nn_lstm; [NN_LSTM_GATES][cells] */
    struct nn_sums h;
    struct nn_scale to_gate[NN_LSTM_GATES][2]; /* sums of x, of h -> Q3.12 */
    int8_t forget_shift;          /* to the right: forget gate * cell -> cell */
    int8_t input_shift;           /* input gate * cell gate -> cell */
    int32_t output_multiplier;    /* output gate * tanh(cell) -> output */
    int32_t output_shift;         /* to the right, in [1, 31] */
    int32_t tanh_multiplier;      /* as in struct nn_lstm */
    int32_t tanh_shift;
    int32_t cell_clip;
    int32_t out_offset;
    const uint32_t *curve;        /* [2 * NN_SUMS_LSTM_MIDDLE + 1]: of each step of 1/24 the
                                   * logistic function in Q0.16, and below it, in 16 bits, what
                                   * it gains until the next */
};

/* As nn_lstm_s8; scratch: the sums of x, those of h, then what both take. */
void nn_sums_lstm_s8(const struct nn_sums_lstm *op, const int8_t *in, int8_t *out,
                     int8_t *hidden, int16_t *cell, int32_t *scratch);

#endif
