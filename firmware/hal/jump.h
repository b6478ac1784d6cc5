/* Leaves for another image. SPDX-License-Identifier: Apache-2.0 */
#ifndef JUMP_H
#define JUMP_H

#include <stdint.h>

/* Runs the image whose payload lies at `payload`, as it would run after a reset: on a Cortex-M
 * that is a vector table, elsewhere its first instruction. Interrupts of this image are off. */
_Noreturn void jump_to(uint32_t payload);

#endif
