/* The model, called from an ordinary program. SPDX-License-Identifier: Apache-2.0
 *
 * For programs that link the model in (tinyseal export): no signature, no counter and no update
 * is between you and it. One model a program, one caller at a time; no heap. What the model is
 * (TINYSEAL_MODEL_NAME, sizes, scales) is in tinyseal_model.h.
 *
 *     tinyseal_init();
 *     tinyseal_quantize(0, features, TINYSEAL_INPUT_0_ELEMENTS);
 *     if (tinyseal_invoke() == 0) {
 *         puts(tinyseal_label(tinyseal_best()));
 *     }
 */
#ifndef TINYSEAL_H
#define TINYSEAL_H

#include <stdint.h>

#include "tinyseal_model.h"

#ifdef __cplusplus
extern "C" {
#endif

enum tinyseal_error {
    TINYSEAL_ESTART = -1, /* tinyseal_init() was not called */
    TINYSEAL_EINDEX = -2, /* there is no input or output of that number */
    TINYSEAL_ECOUNT = -3, /* not as many values as the tensor has elements */
    TINYSEAL_ETYPE = -4,  /* neither int8 nor float: use the pointer */
    TINYSEAL_ETEST = -5,  /* the self-test gave other outputs than it must */
};

/* Before all else; again at any time: forgets what a recurrent model remembers. */
void tinyseal_init(void);

/* Where input `index` lies, in the model's own type, aligned to 4 bytes at least; NULL if there is
 * no such input. An inference overwrites inputs: give all of them anew each time. */
void *tinyseal_input(uint32_t index);

/* Where output `index` lies until the next call of any of these functions but the ones that read
 * outputs; NULL if there is no such output. */
const void *tinyseal_output(uint32_t index);

/* Writes `count` real numbers to input `index`: nearest int8, saturated, or as they are if the
 * input is float. 0, or an error; then nothing was written. */
int tinyseal_quantize(uint32_t index, const float *values, uint32_t count);

/* Reads output `index` as `count` real numbers. 0, or an error; then nothing was read. */
int tinyseal_dequantize(uint32_t index, float *values, uint32_t count);

/* One inference. 0, or TINYSEAL_ESTART. */
int tinyseal_invoke(void);

/* The class with the largest value in output 0, the first of equals. */
uint32_t tinyseal_best(void);

/* The name of a class of output 0; "" if it has none. */
const char *tinyseal_label(uint32_t class_index);

/* Computes a known answer: 0 if this compiler and this chip give the model's own bytes, else
 * TINYSEAL_ETEST. Inputs, outputs and what the model remembers are lost. */
int tinyseal_self_test(void);

#ifdef __cplusplus
}
#endif

#endif
