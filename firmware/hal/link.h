/* Names the linker script defines; only their addresses mean anything.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LINK_H
#define LINK_H

#include <stdint.h>

extern uint32_t link_data_start[];
extern uint32_t link_data_end[];
extern const uint32_t link_data_load[];   /* .data's initial bytes, in flash */
extern uint32_t link_bss_start[];
extern uint32_t link_bss_end[];
extern uint32_t link_stack_bottom[];      /* lowest address; the stack grows down to it */
extern uint32_t link_stack_top[];
extern uint32_t link_handover[];          /* at one address in every image of a board */

#endif
