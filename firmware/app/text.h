/* tinyseal's own serial protocol: one line in, lines out, the last of them `ok` or `err`.
 * SPDX-License-Identifier: Apache-2.0
 * firmware/SPEC.md is its specification. */
#ifndef TEXT_H
#define TEXT_H

/* Carries out the command in `line`, which is overwritten, and answers it. The line is
 * untrusted. */
void text_serve(char *line);

/* Answers `err` with the number and the text of a status. */
void text_refuse(int status);

/* The line that opens every boot. */
void text_greet(void);

#endif
