/* Long short-term memory: nn_sums for its gates.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Gate after gate, so that a gate's factors stay in registers; then cell after cell. Always
 * inlined: where op is a constant, its fields become immediates. */
#ifndef NN_SUMS_LSTM_H
#define NN_SUMS_LSTM_H

#include <string.h>

#include "nn_lstm.h"
#include "nn_requant.h"
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
    struct nn_sums x;             /* channels: [NN_LSTM_GATES][cells] */
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

/* The curve at scaled / 2^bits, times 2^bits, linear between its entries; one less where scaled
 * is negative, so that the last rounding is alike on both sides. */
static inline int32_t nn_sums_lstm_interpolate(const uint32_t *middle, int32_t scaled,
                                               int32_t bits)
{
    const uint32_t entry = middle[scaled >> bits];
    const int32_t fraction = scaled & ((1 << bits) - 1);

    return (int32_t)(entry >> 16 << bits) + (int32_t)(entry & 0xffff) * fraction +
           (scaled >> 31);
}

/* Q3.12 -> Q0.15. In the curve's steps, x / 2^12 is 3 * x / 2^9. */
static inline int32_t nn_sums_lstm_logistic(const uint32_t *middle, int32_t x)
{
    return (nn_sums_lstm_interpolate(middle, 3 * x, 9) + (1 << 9)) >> 10;
}

/* tanh of scaled / 3 in Q3.12 -> Q0.15: twice the logistic function of the double, less 1. The
 * curve is flat from its ends on. */
static inline int32_t nn_sums_lstm_hyperbolic(const uint32_t *middle, int32_t scaled)
{
    const int32_t end = NN_SUMS_LSTM_MIDDLE << 8;
    const int32_t inside = nn_requant_clamp(scaled, -end, end);
    const int32_t value = nn_sums_lstm_interpolate(middle, inside, 8);

    return (value - (1 << 23) + (1 << 7)) >> 8;
}

/* Activates gate `which` of all cells: x holds its sums, and then its values in Q0.15. */
static inline __attribute__((always_inline)) void
nn_sums_lstm_activate(const struct nn_sums_lstm *op, int32_t which, int32_t *x, const int32_t *h)
{
    const struct nn_scale by_x = op->to_gate[which][0];
    const struct nn_scale by_h = op->to_gate[which][1];
    const uint32_t *const middle = op->curve + NN_SUMS_LSTM_MIDDLE;

    x += which * op->cells;
    h += which * op->cells;
    for (const int32_t *const end = x + op->cells; x < end; x++, h++) {
        const int32_t from_x = nn_scale_saturate(nn_scale(*x, &by_x));
        const int32_t from_h = nn_scale_saturate(nn_scale(*h, &by_h));
        const int32_t a = nn_scale_saturate(from_x + from_h);

        *x = which == NN_LSTM_CELL ? nn_sums_lstm_hyperbolic(middle, 3 * a)
                                   : nn_sums_lstm_logistic(middle, a);
    }
}

/* nn_requant of a * b by the multiplier 2^30: a shift. |a * b| <= 2^30. */
static inline int32_t nn_sums_lstm_shift_product(int32_t a, int32_t b, int32_t right)
{
    const int32_t high = (a * b + 1) >> 1;

    return (high + (high >> 31) + (1 << right >> 1)) >> right;
}

static inline __attribute__((always_inline)) int32_t
nn_sums_lstm_next_cell(const struct nn_sums_lstm *op, int32_t input, int32_t forget,
                       int32_t candidate, int32_t cell)
{
    const int32_t kept = nn_sums_lstm_shift_product(forget, cell, op->forget_shift);
    const int32_t added = nn_sums_lstm_shift_product(input, candidate, op->input_shift);
    const int32_t sum = nn_scale_saturate(nn_scale_saturate(kept) + nn_scale_saturate(added));

    return op->cell_clip ? nn_requant_clamp(sum, -op->cell_clip, op->cell_clip) : sum;
}

static inline __attribute__((always_inline)) void
nn_sums_lstm_step(const struct nn_sums_lstm *op, const int8_t *in, int8_t *hidden, int16_t *cell,
                  int32_t *scratch)
{
    const uint32_t *const middle = op->curve + NN_SUMS_LSTM_MIDDLE;
    int32_t *const x = scratch;
    int32_t *const h = x + op->x.channels;
    int8_t *const rest = (int8_t *)(h + op->h.channels);
    const int32_t half = op->tanh_shift ? 1 << (op->tanh_shift - 1) : 0;

    op->sums(&op->x, in, x, rest);
    op->sums(&op->h, hidden, h, rest);
    nn_sums_lstm_activate(op, NN_LSTM_INPUT, x, h);
    nn_sums_lstm_activate(op, NN_LSTM_FORGET, x, h);
    nn_sums_lstm_activate(op, NN_LSTM_CELL, x, h);
    nn_sums_lstm_activate(op, NN_LSTM_OUTPUT, x, h);
    for (int32_t i = 0; i < op->cells; i++) {
        const int32_t *const gate = x + i;
        const int32_t next = nn_sums_lstm_next_cell(op, gate[NN_LSTM_INPUT * op->cells],
                                                    gate[NN_LSTM_FORGET * op->cells],
                                                    gate[NN_LSTM_CELL * op->cells], cell[i]);
        const int32_t scaled = (next * op->tanh_multiplier + half) >> op->tanh_shift;
        const int32_t product =
            gate[NN_LSTM_OUTPUT * op->cells] * nn_sums_lstm_hyperbolic(middle, scaled);
        const int32_t value = nn_requant_right(product, op->output_multiplier, op->output_shift);

        cell[i] = (int16_t)next;
        hidden[i] = (int8_t)nn_requant_clamp(value + op->out_offset, INT8_MIN, INT8_MAX);
    }
}

/* As nn_lstm_s8; scratch: the sums of x, those of h, then what both take. */
static inline __attribute__((always_inline)) void
nn_sums_lstm_s8(const struct nn_sums_lstm *op, const int8_t *in, int8_t *out,
                int8_t *hidden, int16_t *cell, int32_t *scratch)
{
    for (int32_t batch = 0; batch < op->batches; batch++) {
        for (int32_t t = 0; t < op->steps; t++) {
            const int8_t *const x = in + batch * op->in_batch_stride + t * op->in_step_stride;

            nn_sums_lstm_step(op, x, hidden, cell, scratch);
            memcpy(out + batch * op->out_batch_stride + t * op->out_step_stride, hidden,
                   (size_t)op->cells);
        }
        hidden += op->cells;
        cell += op->cells;
    }
}

#endif
