/* The console's lines, to the text protocol each belongs to. SPDX-License-Identifier: Apache-2.0 */
#include "lines.h"

#include "line.h"
#include "mlperf.h"
#include "text.h"

static struct line line;

void lines_push(int byte)
{
    const int terminator = line_push(&line, byte);

    if (!terminator) {
        return;
    }
    if (terminator == '%') {
        mlperf_serve(line.text, line.fault);
    } else if (line.fault) {
        text_refuse(line.fault);
    } else {
        text_serve(line.text);
    }
    line_clear(&line);
}

void lines_clear(void)
{
    line_clear(&line);
}
