/* Bits that can be burnt once and never come back. SPDX-License-Identifier: Apache-2.0 */
#ifndef OTP_H
#define OTP_H

#include <stdint.h>

struct hal_otp {
    uint32_t bits; /* set aside for the anchor of the query counter, burnt in order */

    /* How many are burnt, or a negative error. */
    int32_t (*burnt)(void);

    /* Burns the next one. 0 once it reads back burnt. */
    int (*burn)(void);
};

#endif
