/* A model as a MicroPython object. SPDX-License-Identifier: Apache-2.0
 *
 * Compiled twice: into a firmware (modtinyseal.c), and into a native `.mpy` that stock firmware
 * loads (natmodel.c). What Python sees is in tinyseal.pyi. */
#ifndef MPMODEL_H
#define MPMODEL_H

#if MICROPY_ENABLE_DYNRUNTIME
#include <py/dynruntime.h>
#else
#include <py/runtime.h>
#endif

#include "capsule.h"

#if MICROPY_ENABLE_DYNRUNTIME
/* Before all else: a `.mpy` cannot be linked against the firmware's types, so this one is made. */
void mpmodel_init(void);
#endif

/* A Model of `capsule`, with arenas of its own on MicroPython's heap. A `.mpy` has no clock but the
 * function it is given; compiled into a firmware it takes the port's, and `clock` is None. Raises RuntimeError if it is
 * no capsule of this version, MemoryError if there is no room. */
mp_obj_t mpmodel_new(const struct capsule *capsule, mp_obj_t clock);

/* Raises `type` with `format % (a, b)`. */
MP_NORETURN void mpmodel_raise(const mp_obj_type_t *type, const char *format, mp_obj_t a, mp_obj_t b);

/* A str of a C string. */
mp_obj_t mpmodel_text(const char *text);

#endif
