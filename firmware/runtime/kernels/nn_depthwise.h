/* Depthwise convolution. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_DEPTHWISE_H
#define NN_DEPTHWISE_H

#include "nn_window.h"

struct nn_depthwise {
    struct nn_window window;
    int32_t depth_multiplier;   /* out_ch / in_ch */
    int32_t in_offset;          /* minus the input's zero point, in [-127, 128] */
    int32_t out_offset;         /* the output's zero point */
    int32_t act_min;
    int32_t act_max;
    const int32_t *multipliers; /* [out_ch] */
    const int32_t *shifts;      /* [out_ch] */
    const int8_t *weights;      /* [filter_h][filter_w][out_ch] */
    const int32_t *bias;        /* [out_ch], or null */
};

/* in [batches][in_h][in_w][in_ch], out [batches][out_h][out_w][out_ch]. They may
 * overlap only where out starts so far below in that it never overtakes the reading: the
 * distance is computed by plan/kernels/lag.py.
 * Output channel c reads input channel c / depth_multiplier. Padding counts as the
 * input's zero point. */
void nn_depthwise_s8(const struct nn_depthwise *op, const int8_t *in, int8_t *out);

#endif
