/* The user C module `tinyseal` of a MicroPython firmware. SPDX-License-Identifier: Apache-2.0 */
#include "modtinyseal.h"

#include <string.h>

#include "ed25519.h"
#include "mpmodel.h"

static mp_obj_t modtinyseal_names(void)
{
    const mp_obj_t list = mp_obj_new_list(0, NULL);

    for (uint32_t i = 0; i < modtinyseal_model_count; i++) {
        mp_obj_list_append(list, mpmodel_text(modtinyseal_models[i]->name));
    }
    return list;
}
static MP_DEFINE_CONST_FUN_OBJ_0(modtinyseal_names_obj, modtinyseal_names);

static mp_obj_t modtinyseal_load(size_t arg_count, const mp_obj_t *args)
{
    if (arg_count == 0) {
        return mpmodel_new(modtinyseal_models[0], mp_const_none);
    }
    const char *name = mp_obj_str_get_str(args[0]);

    for (uint32_t i = 0; i < modtinyseal_model_count; i++) {
        if (strcmp(modtinyseal_models[i]->name, name) == 0) {
            return mpmodel_new(modtinyseal_models[i], mp_const_none);
        }
    }
    mpmodel_raise(&mp_type_ValueError, "no model %s in this firmware; models: %s", args[0],
                  modtinyseal_names());
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(modtinyseal_load_obj, 0, 1, modtinyseal_load);

/* The bytes of `value`, which must be `bytes` of them. */
static const uint8_t *exactly(mp_obj_t value, uint32_t bytes, const char *what)
{
    mp_buffer_info_t buffer;

    mp_get_buffer_raise(value, &buffer, MP_BUFFER_READ);
    if (buffer.len != bytes) {
        mpmodel_raise(&mp_type_ValueError, "%s must have %d bytes", mpmodel_text(what),
                      mp_obj_new_int_from_uint(bytes));
    }
    return buffer.buf;
}

static mp_obj_t modtinyseal_verify(mp_obj_t public_key, mp_obj_t message, mp_obj_t signature)
{
    const uint8_t *key = exactly(public_key, ED25519_PUBLIC_BYTES, "a public key");
    const uint8_t *signed_by = exactly(signature, ED25519_SIGNATURE_BYTES, "a signature");
    mp_buffer_info_t buffer;

    mp_get_buffer_raise(message, &buffer, MP_BUFFER_READ);
    return mp_obj_new_bool(ed25519_check(key, buffer.buf, buffer.len, signed_by) == ED25519_GOOD);
}
static MP_DEFINE_CONST_FUN_OBJ_3(modtinyseal_verify_obj, modtinyseal_verify);

static const mp_rom_map_elem_t globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_tinyseal) },
    { MP_ROM_QSTR(MP_QSTR_ABI), MP_ROM_INT(CAPSULE_ABI) },
    { MP_ROM_QSTR(MP_QSTR_models), MP_ROM_PTR(&modtinyseal_names_obj) },
    { MP_ROM_QSTR(MP_QSTR_load), MP_ROM_PTR(&modtinyseal_load_obj) },
    { MP_ROM_QSTR(MP_QSTR_verify), MP_ROM_PTR(&modtinyseal_verify_obj) },
};
static MP_DEFINE_CONST_DICT(globals, globals_table);

const mp_obj_module_t modtinyseal_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&globals,
};

MP_REGISTER_MODULE(MP_QSTR_tinyseal, modtinyseal_module);
