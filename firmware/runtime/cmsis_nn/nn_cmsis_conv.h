/* Convolution as a matrix product of CMSIS-NN. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_CMSIS_CONV_H
#define NN_CMSIS_CONV_H

#include "arm_nnfunctions.h"

#include "kernels/nn_window.h"

struct nn_cmsis_conv {
    struct nn_window window;
    int32_t depth;              /* bytes from filter to filter, >= filter_h * filter_w * in_ch;
                                 * the weights between are 0 */
    int32_t columns;            /* output pixels handed over at a time */
    cmsis_nn_conv_params params; /* stride 1, padding 0: the window is applied here */
    cmsis_nn_per_channel_quant_params quant; /* [out_ch] */
    const int8_t *weights;      /* [out_ch][depth] */
    const int32_t *bias;        /* [out_ch], or null */
};

/* in [batches][in_h][in_w][in_ch], out [batches][out_h][out_w][out_ch], scratch
 * [columns][depth]; none may overlap another. Padding counts as the input's zero point.
 *
 * The other way round than arm_convolve_s8, which widens to 16 bits what it gathers (DSP) or
 * leaves its fast path wherever padding shows (MVE). */
void nn_cmsis_conv_s8(const struct nn_cmsis_conv *op, const int8_t *in, int8_t *out,
                      int8_t *scratch);

#endif
