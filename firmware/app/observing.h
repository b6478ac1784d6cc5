/* Statistics of the capsule in service. SPDX-License-Identifier: Apache-2.0 */
#ifndef OBSERVING_H
#define OBSERVING_H

#include <stdint.h>

/* Begins, and serves what the owner allows; call it once the capsule is mounted and its meter open. */
void observing_start(void);

/* Around every inference, the inputs being in place; the second with the ticks it took. */
void observing_before(void);
void observing_after(uint64_t ticks);

#endif
