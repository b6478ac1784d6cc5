/* The part of start-up that is the same on every chip. SPDX-License-Identifier: Apache-2.0 */
#include "start.h"

#include "hal.h"
#include "link.h"
#include "stack.h"

int main(void);

_Noreturn void start_c(void)
{
    const uint32_t *from = link_data_load;

    for (uint32_t *to = link_data_start; to < link_data_end; to++) {
        *to = *from++;
    }
    for (uint32_t *to = link_bss_start; to < link_bss_end; to++) {
        *to = 0;
    }
    stack_paint();
    hal_init();
    main();
    hal.reset->now(HAL_RESET_FAULT); /* main() serves for ever */
}
