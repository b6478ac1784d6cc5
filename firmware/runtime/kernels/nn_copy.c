/* Moves elements of any type between differently laid out tensors, portable C.
 * SPDX-License-Identifier: Apache-2.0 */
#include "nn_copy.h"

#include <string.h>

void nn_copy(const struct nn_walk *walk, int32_t run, const uint8_t *in, uint8_t *out)
{
    struct nn_walk_row at = { 0 };

    do {
        const uint8_t *from = in + at.a;
        uint8_t *to = out + at.b;

        for (int32_t i = 0; i < walk->row; i++) {
            if (run == 1) {
                *to = *from; /* a call for every int8 of a transposition is too much */
            } else {
                memcpy(to, from, (size_t)run);
            }
            from += walk->a_step;
            to += walk->b_step;
        }
    } while (nn_walk_next(walk, &at));
}

void nn_copy_fill(const uint8_t *element, int32_t element_bytes, uint8_t *out, int32_t bytes)
{
    if (element_bytes == 1) {
        memset(out, *element, (size_t)bytes);
        return;
    }
    for (int32_t i = 0; i < bytes; i += element_bytes) {
        memcpy(out + i, element, (size_t)element_bytes);
    }
}
