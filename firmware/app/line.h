/* Lines out of received bytes, whatever the bytes. SPDX-License-Identifier: Apache-2.0 */
#ifndef LINE_H
#define LINE_H

#include <stddef.h>

#define LINE_BYTES 288 /* a terminator included */

/* Bytes may be hostile: text never grows past LINE_BYTES - 1, and every line, however bad, ends
 * at the next terminator. */
struct line {
    char text[LINE_BYTES];
    size_t len;
    int fault; /* STATUS_ELONG or STATUS_ENOISE: the text is not to be used */
};

/* Takes one received byte. Returns the terminator, '\n' or '%', when it completes a line, which
 * is then zero-terminated in `text`; 0 otherwise. Carriage returns are dropped. */
int line_push(struct line *line, int byte);

/* Makes the line empty, once it has been dealt with. */
void line_clear(struct line *line);

/* The next word of a string of words parted by blanks, zero-terminated, or null at its end;
 * *rest moves behind it. */
char *line_word(char **rest);

/* The decimal number that is the next word. STATUS_EARGUMENT if there is none or it is not one
 * of 32 bits. */
int line_number(char **rest, unsigned *number);

#endif
