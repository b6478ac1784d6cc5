/* SMP group 0, os: echo, reset, the parameters of this server, the bootloader.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SMP_OS_H
#define SMP_OS_H

#include "smp.h"

extern const struct smp_group smp_os_group;

/* What the group tells; call once. buffer_bytes: the largest frame that is taken. */
void smp_os_start(uint32_t buffer_bytes);

#endif
