/* Depthwise convolution of any filter for cores with packed 16-bit products.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_TUNED_DEPTHWISE_ANY_H
#define NN_TUNED_DEPTHWISE_ANY_H

#include "nn_tuned.h"
#include "nn_window.h"

struct nn_tuned_depthwise_any {
    struct nn_window window; /* in_ch = out_ch */
    int8_t zero;             /* the input's zero point, which padding holds */
    int8_t act_min;
    int8_t act_max;
    int8_t is_linear;        /* outputs are nn_tuned_linear's, with a shift of 8 */
    const int32_t *quads;    /* For four channels: where their sums start; of each tap the
                              * halves w0 w2 and w1 w3; multiplier and rounding of each and,
                              * if not linear, shift. Start and weights are scaled: sums come
                              * doubled, or as linear outputs take them. The first quad is
                              * channels 0 to 3, the others are the last ones; of fewer than
                              * four channels the first one comes again. */
};

/* in [batches][in_h][in_w][channels], out likewise; scratch two intptr_t for each tap, then a
 * byte for each channel, rounded up to a multiple of 4. Pixel after pixel is read and written:
 * in and out may overlap as plan/kernels/lag.py computes. */
void nn_tuned_depthwise_any_s8(const struct nn_tuned_depthwise_any *op, const int8_t *in,
                               int8_t *out, void *scratch);

#endif
