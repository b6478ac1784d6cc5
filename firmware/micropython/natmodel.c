/* Entry of a native `.mpy`: one model for firmware that has no module `tinyseal`.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mpmodel.h"

static mp_obj_t natmodel_load(size_t arg_count, const mp_obj_t *args)
{
    return mpmodel_new(&capsule_table, arg_count > 0 ? args[0] : mp_const_none);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(natmodel_load_obj, 0, 1, natmodel_load);

mp_obj_t mpy_init(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args);

mp_obj_t mpy_init(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args)
{
    MP_DYNRUNTIME_INIT_ENTRY

    (void)n_args;
    (void)n_kw;
    (void)args;
    mpmodel_init();
    mp_store_global(MP_QSTR_ABI, MP_OBJ_NEW_SMALL_INT(CAPSULE_ABI));
    mp_store_global(MP_QSTR_load, MP_OBJ_FROM_PTR(&natmodel_load_obj));

    MP_DYNRUNTIME_INIT_EXIT
}
