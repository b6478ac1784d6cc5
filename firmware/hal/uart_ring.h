/* Received bytes, kept by an interrupt until they are asked for. SPDX-License-Identifier: Apache-2.0
 *
 * One ring, the console's, of the profile's uart_ring_bytes. Its interrupt puts, everybody else takes;
 * neither waits. A full ring loses nothing by itself: the interrupt then leaves the bytes to the
 * UART's own FIFO and is switched off until a byte was taken. What the UART has no place for
 * either, it says itself. */
#ifndef UART_RING_H
#define UART_RING_H

#include <stdint.h>

/* For the interrupt. Put only where there is room. */
int uart_ring_is_full(void);
void uart_ring_put(uint8_t byte);
void uart_ring_pause(void); /* it was switched off */
void uart_ring_lose(void);  /* the UART says that it lost something */

/* For the reader. The oldest byte, or -1 if there is none. */
int uart_ring_take(void);

/* Whether the interrupt is to be switched on again; asked after a byte was taken. */
int uart_ring_resumes(void);

#endif
