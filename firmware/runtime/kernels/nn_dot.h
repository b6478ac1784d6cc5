/* Inner products, the innermost loops of the dense kernels.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_DOT_H
#define NN_DOT_H

#include <stdint.h>

struct nn_dot_pair {
    int32_t a;
    int32_t b;
};

/* acc + sums of (x[i] + offset) * wa[i], and of (x[i] + offset) * wb[i], for i < n: each
 * x is loaded and offset once. They fit 32 bits in any order: the host has checked
 * weights and bias (graph/ops/common.py, require_accumulator). */
static inline struct nn_dot_pair nn_dot_pair_s8(struct nn_dot_pair acc, const int8_t *x,
                                                int32_t offset, const int8_t *wa,
                                                const int8_t *wb, int32_t n)
{
    const int8_t *const end = x + n;

    for (const int8_t *const even = end - (n & 1); x < even; x += 2, wa += 2, wb += 2) {
        const int32_t x0 = x[0] + offset;
        const int32_t x1 = x[1] + offset;

        acc.a += x0 * wa[0];
        acc.b += x0 * wb[0];
        acc.a += x1 * wa[1];
        acc.b += x1 * wb[1];
    }
    if (x < end) {
        const int32_t last = *x + offset;

        acc.a += last * *wa;
        acc.b += last * *wb;
    }
    return acc;
}

#endif
