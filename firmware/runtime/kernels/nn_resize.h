/* Images to another height and width. SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_RESIZE_H
#define NN_RESIZE_H

#include <stdint.h>

/* in [batches][in_height][in_width][pixel], out [batches][out_height][out_width][pixel] */
struct nn_resize_nearest {
    int32_t batches;
    int32_t in_height;
    int32_t in_width;
    int32_t out_height;
    int32_t out_width;
    int32_t pixel_bytes;
    const uint16_t *rows;    /* [out_height]: the input row each output row takes */
    const uint16_t *columns; /* [out_width] */
};

/* in and out must not overlap. */
void nn_resize_nearest(const struct nn_resize_nearest *op, const uint8_t *in, uint8_t *out);

struct nn_resize_bilinear {
    int32_t batches;
    int32_t in_height;
    int32_t in_width;
    int32_t out_height;
    int32_t out_width;
    int32_t depth;
    int32_t height_scale; /* input rows per output row, in 1/1024 */
    int32_t width_scale;
    int32_t height_shift; /* where output row 0 lies in the input, in 1/1024; may be negative */
    int32_t width_shift;
};

/* The host checks that no output row or column lies beyond the input's last. in and out must
 * not overlap. */
void nn_resize_bilinear_s8(const struct nn_resize_bilinear *op, const int8_t *in, int8_t *out);

#endif
