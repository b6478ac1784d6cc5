/* The console's lines, to the text protocol each belongs to. SPDX-License-Identifier: Apache-2.0 */
#ifndef LINES_H
#define LINES_H

/* Takes a byte that is not SMP's, and serves the line that it completes. */
void lines_push(int byte);

/* Forgets the line that was begun. */
void lines_clear(void);

#endif
