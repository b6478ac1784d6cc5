/* Convolution. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_CONV_H
#define NN_CONV_H

#include "nn_window.h"

struct nn_conv {
    struct nn_window window;
    int32_t groups;             /* divides in_ch and out_ch */
    int32_t in_offset;          /* minus the input's zero point, in [-127, 128] */
    int32_t out_offset;         /* the output's zero point */
    int32_t act_min;
    int32_t act_max;
    const int32_t *multipliers; /* [out_ch] */
    const int32_t *shifts;      /* [out_ch] */
    const int8_t *weights;      /* [out_ch][filter_h][filter_w][in_ch / groups] */
    const int32_t *bias;        /* [out_ch], or null */
};

/* in [batches][in_h][in_w][in_ch], out [batches][out_h][out_w][out_ch]. They may
 * overlap only where out starts so far below in that it never overtakes the reading: the
 * distance is computed by plan/kernels/lag.py.
 * Padding counts as the input's zero point. Rounds twice (multiply, shift), as
 * nn_requant.h. */
void nn_conv_s8(const struct nn_conv *op, const int8_t *in, int8_t *out);

#endif
