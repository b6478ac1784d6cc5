/* Long short-term memory, portable C. SPDX-License-Identifier: Apache-2.0 */
#include "nn_lstm.h"

#include <string.h>

#include "nn_requant.h"

static int32_t saturate(int32_t a)
{
    return nn_requant_clamp(a, INT16_MIN, INT16_MAX);
}

static int32_t dot(int32_t acc, const int8_t *x, const int8_t *weights, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        acc += x[i] * weights[i];
    }
    return acc;
}

/* Argument of a gate's activation for one cell, Q3.12. Halves and sum saturate. */
static int32_t gate(const struct nn_lstm *op, int32_t which, int32_t cell,
                    const int8_t *x, const int8_t *hidden)
{
    const struct nn_lstm_gate *g = &op->gates[which];
    const int32_t from_x =
        dot(g->x_bias[cell], x, g->x_weights + cell * op->in_depth, op->in_depth);
    const int32_t from_h =
        dot(g->h_bias[cell], hidden, g->h_weights + cell * op->cells, op->cells);

    return saturate(saturate(nn_requant(from_x, g->x_multiplier, g->x_shift))
                    + saturate(nn_requant(from_h, g->h_multiplier, g->h_shift)));
}

/* The table at magnitude / 2^bits, times 2^bits, linear between its entries. */
static int32_t interpolate(const uint16_t *table, int32_t magnitude, int32_t bits)
{
    const int32_t index = magnitude >> bits;

    if (index >= 255) {
        return 0xffff << bits;
    }
    return (table[index] << bits)
           + (magnitude & ((1 << bits) - 1)) * (table[index + 1] - table[index]);
}

/* Q3.12 -> Q0.15. In the table's steps of 1/24, x / 2^12 is 3 * x / 2^9. */
static int32_t logistic(const uint16_t *table, int32_t x)
{
    const int32_t scaled = 3 * x;
    const int32_t value = interpolate(table, scaled < 0 ? -scaled : scaled, 9);

    return (scaled < 0 ? (1 << 25) - value + (1 << 9) - 1 : value + (1 << 9)) >> 10;
}

/* tanh of scaled / 3 in Q3.12 -> Q0.15: tanh(x) = 2 * logistic(2x) - 1. */
static int32_t hyperbolic(const uint16_t *table, int32_t scaled)
{
    const int32_t magnitude = scaled < 0 ? -scaled : scaled;
    const int32_t value = interpolate(table, magnitude, 8) - (1 << 23);

    return (scaled < 0 ? (1 << 7) - 1 - value : (1 << 7) + value) >> 8;
}

static int32_t tanh_of_cell(const struct nn_lstm *op, int32_t cell)
{
    const int32_t half = op->tanh_shift ? 1 << (op->tanh_shift - 1) : 0;
    const int32_t scaled = (cell * op->tanh_multiplier + half) >> op->tanh_shift;

    return hyperbolic(op->sigmoid, scaled);
}

static int16_t next_cell(const struct nn_lstm *op, int32_t input, int32_t forget,
                         int32_t candidate, int32_t cell)
{
    const int32_t kept = nn_requant(logistic(op->sigmoid, forget) * cell,
                                    op->forget_multiplier, op->forget_shift);
    const int32_t added =
        nn_requant(logistic(op->sigmoid, input) * hyperbolic(op->sigmoid, 3 * candidate),
                   op->input_multiplier, op->input_shift);
    const int32_t sum = saturate(saturate(kept) + saturate(added));

    if (op->cell_clip) {
        return (int16_t)nn_requant_clamp(sum, -op->cell_clip, op->cell_clip);
    }
    return (int16_t)sum;
}

/* All cells see the hidden state of the step before, so the new one gathers in out. */
static void step(const struct nn_lstm *op, const int8_t *x, int8_t *out,
                 const int8_t *hidden, int16_t *cell)
{
    for (int32_t i = 0; i < op->cells; i++) {
        const int32_t open =
            logistic(op->sigmoid, gate(op, NN_LSTM_OUTPUT, i, x, hidden));

        cell[i] = next_cell(op, gate(op, NN_LSTM_INPUT, i, x, hidden),
                            gate(op, NN_LSTM_FORGET, i, x, hidden),
                            gate(op, NN_LSTM_CELL, i, x, hidden), cell[i]);
        const int32_t value = nn_requant(open * tanh_of_cell(op, cell[i]),
                                         op->output_multiplier, op->output_shift);
        out[i] = (int8_t)nn_requant_clamp(value + op->out_offset, INT8_MIN, INT8_MAX);
    }
}

void nn_lstm_s8(const struct nn_lstm *op, const int8_t *in, int8_t *out, int8_t *hidden,
                int16_t *cell)
{
    for (int32_t batch = 0; batch < op->batches; batch++) {
        for (int32_t t = 0; t < op->steps; t++) {
            const int8_t *x = in + batch * op->in_batch_stride + t * op->in_step_stride;
            int8_t *y = out + batch * op->out_batch_stride + t * op->out_step_stride;

            step(op, x, y, hidden, cell);
            memcpy(hidden, y, (size_t)op->cells);
        }
        hidden += op->cells;
        cell += op->cells;
    }
}
