/* Long short-term memory over nn_sums. SPDX-License-Identifier: Apache-2.0
 *
 * Gate after gate, so that a gate's factors stay in registers; then cell after cell. */
#include "nn_sums_lstm.h"

#include <string.h>

#include "nn_requant.h"

static inline int32_t saturate(int32_t a)
{
    return nn_requant_clamp(a, INT16_MIN, INT16_MAX);
}

/* The curve at scaled / 2^bits, times 2^bits, linear between its entries; one less where scaled
 * is negative, so that the last rounding is alike on both sides. */
static inline int32_t interpolate(const uint32_t *curve, int32_t scaled, int32_t bits)
{
    const uint32_t entry = curve[NN_SUMS_LSTM_MIDDLE + (scaled >> bits)];
    const int32_t fraction = scaled & ((1 << bits) - 1);

    return (int32_t)(entry >> 16 << bits) + (int32_t)(entry & 0xffff) * fraction +
           (scaled >> 31);
}

/* Q3.12 -> Q0.15. In the curve's steps, x / 2^12 is 3 * x / 2^9. */
static inline int32_t logistic(const uint32_t *curve, int32_t x)
{
    return (interpolate(curve, 3 * x, 9) + (1 << 9)) >> 10;
}

/* tanh of scaled / 3 in Q3.12 -> Q0.15: tanh(x) = 2 * logistic(2x) - 1. The curve is flat from
 * its ends on. */
static inline int32_t hyperbolic(const uint32_t *curve, int32_t scaled)
{
    const int32_t end = NN_SUMS_LSTM_MIDDLE << 8;
    const int32_t value = interpolate(curve, nn_requant_clamp(scaled, -end, end), 8);

    return (value - (1 << 23) + (1 << 7)) >> 8;
}

/* Activates gate `which` of all cells: x holds its sums, and then its values in Q0.15. */
static inline __attribute__((always_inline)) void
activate(const struct nn_sums_lstm *op, int32_t which, int32_t *x, const int32_t *h)
{
    const struct nn_scale by_x = op->to_gate[which][0];
    const struct nn_scale by_h = op->to_gate[which][1];
    const uint32_t *const curve = op->curve;

    x += which * op->cells;
    h += which * op->cells;
    for (const int32_t *const end = x + op->cells; x < end; x++, h++) {
        const int32_t a = saturate(saturate(nn_scale(*x, &by_x)) + saturate(nn_scale(*h, &by_h)));

        *x = which == NN_LSTM_CELL ? hyperbolic(curve, 3 * a) : logistic(curve, a);
    }
}

/* A product of two values in Q0.15 or so, by 2^-(right + 1): nn_requant of the multiplier 2^30. */
static inline int32_t shift_product(int32_t a, int32_t b, int32_t right)
{
    const int32_t high = (a * b + 1) >> 1; /* |a * b| <= 2^30 */

    return (high + (high >> 31) + (1 << right >> 1)) >> right;
}

static inline int32_t next_cell(const struct nn_sums_lstm *op, int32_t input, int32_t forget,
                                int32_t candidate, int32_t cell)
{
    const int32_t kept = shift_product(forget, cell, op->forget_shift);
    const int32_t added = shift_product(input, candidate, op->input_shift);
    const int32_t sum = saturate(saturate(kept) + saturate(added));

    return op->cell_clip ? nn_requant_clamp(sum, -op->cell_clip, op->cell_clip) : sum;
}

static void step(const struct nn_sums_lstm *op, const int8_t *in, int8_t *hidden, int16_t *cell,
                 int32_t *scratch)
{
    int32_t *const x = scratch;
    int32_t *const h = x + op->x.channels;
    int8_t *const rest = (int8_t *)(h + op->h.channels);
    const int32_t half = op->tanh_shift ? 1 << (op->tanh_shift - 1) : 0;

    op->sums(&op->x, in, x, rest);
    op->sums(&op->h, hidden, h, rest);
    activate(op, NN_LSTM_INPUT, x, h);
    activate(op, NN_LSTM_FORGET, x, h);
    activate(op, NN_LSTM_CELL, x, h);
    activate(op, NN_LSTM_OUTPUT, x, h);
    for (int32_t i = 0; i < op->cells; i++) {
        const int32_t *const gate = x + i;
        const int32_t next =
            next_cell(op, gate[NN_LSTM_INPUT * op->cells], gate[NN_LSTM_FORGET * op->cells],
                      gate[NN_LSTM_CELL * op->cells], cell[i]);
        const int32_t scaled = (next * op->tanh_multiplier + half) >> op->tanh_shift;
        const int32_t product =
            gate[NN_LSTM_OUTPUT * op->cells] * hyperbolic(op->curve, scaled);
        const int32_t value = nn_requant_right(product, op->output_multiplier, op->output_shift);

        cell[i] = (int16_t)next;
        hidden[i] = (int8_t)nn_requant_clamp(value + op->out_offset, INT8_MIN, INT8_MAX);
    }
}

void nn_sums_lstm_s8(const struct nn_sums_lstm *op, const int8_t *in, int8_t *out,
                     int8_t *hidden, int16_t *cell, int32_t *scratch)
{
    for (int32_t batch = 0; batch < op->batches; batch++) {
        for (int32_t t = 0; t < op->steps; t++) {
            const int8_t *const x = in + batch * op->in_batch_stride + t * op->in_step_stride;

            step(op, x, hidden, cell, scratch);
            memcpy(out + batch * op->out_batch_stride + t * op->out_step_stride, hidden,
                   (size_t)op->cells);
        }
        hidden += op->cells;
        cell += op->cells;
    }
}
