/* Moves elements of any type between differently laid out tensors.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_COPY_H
#define NN_COPY_H

#include <stdint.h>

#include "nn_walk.h"

/* Copies runs of `run` bytes, from in (a) to out (b); walk counts the runs and its strides and
 * steps are in bytes. in and out must not overlap. */
void nn_copy(const struct nn_walk *walk, int32_t run, const uint8_t *in, uint8_t *out);

/* Repeats an element over `bytes` bytes, a multiple of its size. */
void nn_copy_fill(const uint8_t *element, int32_t element_bytes, uint8_t *out, int32_t bytes);

#endif
