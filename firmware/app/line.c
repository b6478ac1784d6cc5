/* Lines out of received bytes, whatever the bytes. SPDX-License-Identifier: Apache-2.0 */
#include "line.h"

#include <limits.h>

#include "status.h"

int line_push(struct line *line, int byte)
{
    if (byte == '\n' || byte == '%') {
        line->text[line->len] = '\0';
        return byte;
    }
    if (byte == '\r') {
        return 0;
    }
    if (byte < ' ' || byte > '~') {
        line->fault = STATUS_ENOISE;
    } else if (line->len == LINE_BYTES - 1) {
        line->fault = STATUS_ELONG;
    } else {
        line->text[line->len++] = (char)byte;
    }
    return 0;
}

void line_clear(struct line *line)
{
    line->len = 0;
    line->fault = STATUS_OK;
}

char *line_word(char **rest)
{
    char *word = *rest;

    while (*word == ' ') {
        word++;
    }
    char *end = word;

    while (*end != '\0' && *end != ' ') {
        end++;
    }
    *rest = *end == '\0' ? end : end + 1;
    *end = '\0';
    return *word == '\0' ? 0 : word;
}

int line_number(char **rest, unsigned *number)
{
    const char *word = line_word(rest);
    unsigned value = 0;

    if (!word) {
        return STATUS_EARGUMENT;
    }
    for (; *word != '\0'; word++) {
        const unsigned digit = (unsigned)(*word - '0');

        if (*word < '0' || *word > '9' || value > (UINT_MAX - digit) / 10) {
            return STATUS_EARGUMENT;
        }
        value = 10 * value + digit;
    }
    *number = value;
    return STATUS_OK;
}
