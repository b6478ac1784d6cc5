/* SMP group 1, image: what is in the slots, new images, which one is tried and which one kept.
 * SPDX-License-Identifier: Apache-2.0
 *
 * An upload goes into the slot that does not run. Its erase units are erased one at a time, as they
 * are reached, the trailer's first and what is left of an older image last: never more than one
 * operation on flash is done at a stretch. The slot's header goes first, so a slot that is half
 * written holds no image; what is whole is verified by the bootloader before it runs. */
#ifndef SMP_IMAGE_H
#define SMP_IMAGE_H

#include "smp.h"

/* No upload is under way, as at start-up. For simulators, which restart without clearing RAM. */
void smp_image_start(void);

extern const struct smp_group smp_image_group;

#endif
