/* The images that run: what the bootloader says of them, and that they are kept.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGES_H
#define IMAGES_H

/* Reads what the bootloader left and mounts the capsule. Without one that is verified and fits,
 * the application runs without a model. Call once, before anything else of the application. */
void images_start(void);

/* Keeps application and capsule if they are on trial, so that the next start does not go back.
 * STATUS_OK, or STATUS_EBOOT when the bootloader's flash does not take it. */
int images_confirm(void);

/* Lines of `info`, one an image: its slot, version, security counter and standing. */
void images_tell(void);

#endif
