/* The console's bytes, parted among the protocols on it. SPDX-License-Identifier: Apache-2.0
 *
 * A line that ends in a line feed is tinyseal's (text.h), one that ends in `%` is MLPerf Tiny's
 * (mlperf.h); SMP's packets come in lines of their own (smp_serial.h). */
#ifndef CONSOLE_H
#define CONSOLE_H

void console_start(void);

/* Serves what has come, a byte or one step of an SMP request at a time. */
void console_poll(void);

/* The same while a line is being served, as between two layers of a model: SMP only. The first
 * byte of anything else waits until that line is done, with all that come behind it. */
void console_poll_smp(void);

#endif
