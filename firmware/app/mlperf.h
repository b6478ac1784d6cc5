/* The serial protocol of MLPerf Tiny's runner. SPDX-License-Identifier: Apache-2.0
 * After MLCommons' "tiny" repository, benchmark/api and benchmark/runner, version 1.x. */
#ifndef MLPERF_H
#define MLPERF_H

/* Carries out the command in `line`, without its `%`; it is overwritten, and untrusted. `fault`
 * is what is wrong with the line itself, or STATUS_OK. Ends with `m-ready`. */
void mlperf_serve(char *line, int fault);

/* What a device says when it is ready. */
void mlperf_greet(void);

#endif
