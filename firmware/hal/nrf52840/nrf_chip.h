/* nRF52840 on its development kit. SPDX-License-Identifier: Apache-2.0
 * nRF52840 Product Specification 1.7; pins: nRF52840 DK User Guide, "Virtual serial port". */
#ifndef NRF_CHIP_H
#define NRF_CHIP_H

#include "mmio.h"

#define NRF_TX_PIN 6u /* to the debugger's virtual serial port */
#define NRF_RX_PIN 8u
#define NRF_PAGE_BYTES 4096u /* NVMC */

#define NVMC_ICACHECNF 0x4001e540u
#define ICACHECNF_ON 1u

static inline void nrf_chip_start(void)
{
    mmio_write32(NVMC_ICACHECNF, ICACHECNF_ON);
}

#endif
