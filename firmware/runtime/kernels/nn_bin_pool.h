/* Maximum (or minimum) pooling of signs. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_BIN_POOL_H
#define NN_BIN_POOL_H

#include <stdint.h>

struct nn_bin_pool {
    int32_t batches;
    int32_t in_h;
    int32_t in_w;
    int32_t words;             /* of one pixel */
    int32_t out_h;
    int32_t out_w;
    int32_t filter_h;
    int32_t filter_w;
    int32_t stride_h;
    int32_t stride_w;
    int32_t pad_top;
    int32_t pad_left;
    const uint32_t *invert;    /* [words]: bits set take the minimum; null: none */
};

/* in [batches][in_h][in_w][words], out [batches][out_h][out_w][words]; no overlap.
 * Taps outside the image do not count; every window has one inside. */
void nn_bin_pool(const struct nn_bin_pool *op, const uint32_t *in, uint32_t *out);

#endif
