/* The models that are compiled into a firmware. SPDX-License-Identifier: Apache-2.0 */
#ifndef MODTINYSEAL_H
#define MODTINYSEAL_H

#include <stdint.h>

#include "capsule.h"

/* Generated: tinyseal export micropython. */
extern const struct capsule *const modtinyseal_models[];
extern const uint32_t modtinyseal_model_count;

#endif
