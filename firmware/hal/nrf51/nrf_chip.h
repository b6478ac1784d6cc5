/* nRF51822 on the BBC micro:bit. SPDX-License-Identifier: Apache-2.0
 * nRF51 Series Reference Manual 3.0; pins: micro:bit schematics, version 1.3B. */
#ifndef NRF_CHIP_H
#define NRF_CHIP_H

#define NRF_TX_PIN 24u /* to the USB interface */
#define NRF_RX_PIN 25u
#define NRF_PAGE_BYTES 1024u /* NVMC */

static inline void nrf_chip_start(void)
{
}

#endif
