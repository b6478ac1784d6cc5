/* The Model type: inference, description, clocks and hooks. SPDX-License-Identifier: Apache-2.0 */
#include "mpmodel.h"

#include <string.h>

#include "selftest.h"

#if MICROPY_ENABLE_DYNRUNTIME
#include <py/smallint.h>
#else
#include <py/mphal.h>
#endif

struct mpmodel {
    mp_obj_base_t base;
    const struct capsule *capsule;
    struct capsule_memory memory;
    void *block[CAPSULE_REGIONS]; /* the regions as they were allocated: what the collector knows */
    mp_obj_t charge;              /* called before an inference; None: not */
    mp_obj_t observe;             /* called after it */
    mp_obj_t clock;               /* of a `.mpy`: time.ticks_us, or None */
    uint32_t count;
    uint32_t last_us;
    uint32_t min_us;
    uint32_t max_us;
    uint32_t total_ms;
    uint32_t rest_us;             /* of the total, below a millisecond */
};

#if MICROPY_ENABLE_DYNRUNTIME
/* Not static: mpy_ld reaches variables by their names only. */
mp_obj_full_type_t mpmodel_type;

/* time.ticks_us(), as the user gave it to load(): it goes round where a small int does. */
static uint32_t ticks_us(const struct mpmodel *self)
{
    if (self->clock == mp_const_none) {
        return 0;
    }
    return (uint32_t)mp_obj_get_int_truncated(mp_call_function_n_kw(self->clock, 0, 0, NULL));
}

#define TICKS_MASK ((uint32_t)MP_SMALL_INT_POSITIVE_MASK)

static mp_obj_t new_real(float value)
{
    return mp_obj_new_float_from_f(value);
}
#else
extern const mp_obj_type_t mpmodel_type;

static uint32_t ticks_us(const struct mpmodel *self)
{
    (void)self;
#if MICROPY_PY_TIME
    return (uint32_t)mp_hal_ticks_us();
#else
    return 0; /* a port without `time` has no clock */
#endif
}

#define TICKS_MASK UINT32_MAX

static mp_obj_t new_real(float value)
{
#if MICROPY_PY_BUILTINS_FLOAT
    return mp_obj_new_float((mp_float_t)value);
#else
    (void)value;
    return mp_const_none;
#endif
}
#endif

mp_obj_t mpmodel_text(const char *text)
{
    return mp_obj_new_str(text, strlen(text));
}

void mpmodel_raise(const mp_obj_type_t *type, const char *format, mp_obj_t a, mp_obj_t b)
{
    mp_obj_t values[2] = { a, b };
    const mp_obj_t said = mp_binary_op(MP_BINARY_OP_MODULO, mpmodel_text(format),
                                       mp_obj_new_tuple(2, values));

    nlr_raise(mp_obj_new_exception_arg1(type, said));
}

static mp_obj_t number(uint32_t value)
{
    return mp_obj_new_int_from_uint(value);
}

static uint8_t *address(const struct mpmodel *self, const struct capsule_tensor *tensor)
{
    return self->memory.region[tensor->region] + tensor->offset;
}

mp_obj_t mpmodel_new(const struct capsule *capsule, mp_obj_t clock)
{
    if (capsule->magic != CAPSULE_MAGIC || capsule->abi != CAPSULE_ABI) {
        mpmodel_raise(&mp_type_RuntimeError,
                      "model is of capsule ABI %d, this module of %d: export both anew",
                      number(capsule->abi), number(CAPSULE_ABI));
    }
    struct mpmodel *self = m_malloc(sizeof *self);

    memset(self, 0, sizeof *self);
    self->base.type = (const mp_obj_type_t *)&mpmodel_type;
    self->capsule = capsule;
    self->charge = mp_const_none;
    self->observe = mp_const_none;
    self->clock = clock;
    for (uint32_t i = 0; i < CAPSULE_REGIONS; i++) {
        if (capsule->arena_bytes[i] > 0) {
            self->block[i] = m_malloc(capsule->arena_bytes[i] + CAPSULE_ALIGN - 1);
            self->memory.region[i] =
                (uint8_t *)(((uintptr_t)self->block[i] + CAPSULE_ALIGN - 1)
                            & ~(uintptr_t)(CAPSULE_ALIGN - 1));
        }
    }
    capsule->reset(&self->memory);
    return MP_OBJ_FROM_PTR(self);
}

/* The bytes of `value`, which must be as many as the input takes. */
static const void *bytes_for(const struct capsule_tensor *input, mp_obj_t value)
{
    mp_buffer_info_t buffer;

    mp_get_buffer_raise(value, &buffer, MP_BUFFER_READ);
    if (buffer.len != input->bytes) {
        mpmodel_raise(&mp_type_ValueError, "input has %d bytes, the model takes %d",
                      number((uint32_t)buffer.len), number(input->bytes));
    }
    return buffer.buf;
}

static void note_time(struct mpmodel *self, uint32_t us)
{
    self->last_us = us;
    self->min_us = self->count == 0 || us < self->min_us ? us : self->min_us;
    self->max_us = us > self->max_us ? us : self->max_us;
    self->rest_us += us % 1000u;
    self->total_ms += us / 1000u + self->rest_us / 1000u;
    self->rest_us %= 1000u;
    self->count++;
}

static void pay(struct mpmodel *self)
{
    if (self->charge != mp_const_none) {
        mp_obj_t args[1] = { MP_OBJ_FROM_PTR(self) };

        if (!mp_obj_is_true(mp_call_function_n_kw(self->charge, 1, 0, args))) {
            mpmodel_raise(&mp_type_RuntimeError, "%s: not paid for%s",
                          mpmodel_text(self->capsule->name), mpmodel_text(""));
        }
    } else if (self->capsule->policy != CAPSULE_UNMETERED) {
        mpmodel_raise(&mp_type_RuntimeError,
                      "%s is metered: give on_charge() a function that pays%s",
                      mpmodel_text(self->capsule->name), mpmodel_text(""));
    }
}

static mp_obj_t output_bytes(const struct mpmodel *self, uint32_t index)
{
    const struct capsule_tensor *output = &self->capsule->outputs[index];

    return mp_obj_new_bytes(address(self, output), output->bytes);
}

static mp_obj_t mpmodel_predict(size_t arg_count, const mp_obj_t *args)
{
    struct mpmodel *self = MP_OBJ_TO_PTR(args[0]);
    const struct capsule *capsule = self->capsule;

    if (arg_count - 1 != capsule->input_count) {
        mpmodel_raise(&mp_type_TypeError, "%d inputs given, the model takes %d",
                      number((uint32_t)arg_count - 1), number(capsule->input_count));
    }
    /* Looked at before they are paid for, and again: pay() may run Python that resizes them. */
    for (uint32_t i = 0; i < capsule->input_count; i++) {
        (void)bytes_for(&capsule->inputs[i], args[i + 1]);
    }
    pay(self);
    const uint32_t start = ticks_us(self);

    for (uint32_t i = 0; i < capsule->input_count; i++) {
        const void *bytes = bytes_for(&capsule->inputs[i], args[i + 1]);

        memcpy(address(self, &capsule->inputs[i]), bytes, capsule->inputs[i].bytes);
    }
    capsule->invoke(&self->memory);
    note_time(self, (ticks_us(self) - start) & TICKS_MASK);

    mp_obj_t result = mp_const_none;
    if (capsule->output_count == 1) {
        result = output_bytes(self, 0);
    } else {
        result = mp_obj_new_list(0, NULL);
        for (uint32_t i = 0; i < capsule->output_count; i++) {
            mp_obj_list_append(result, output_bytes(self, i));
        }
    }
    if (self->observe != mp_const_none) {
        mp_obj_t told[3] = { args[0], result, number(self->last_us) };

        (void)mp_call_function_n_kw(self->observe, 3, 0, told);
    }
    return result;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR(mpmodel_predict_obj, 1, mpmodel_predict);

static mp_obj_t dtype_text(enum capsule_dtype dtype)
{
    switch (dtype) {
    case CAPSULE_S8:
        return MP_OBJ_NEW_QSTR(MP_QSTR_int8);
    case CAPSULE_S16:
        return MP_OBJ_NEW_QSTR(MP_QSTR_int16);
    case CAPSULE_S32:
        return MP_OBJ_NEW_QSTR(MP_QSTR_int32);
    case CAPSULE_S64:
        return MP_OBJ_NEW_QSTR(MP_QSTR_int64);
    case CAPSULE_U8:
        return MP_OBJ_NEW_QSTR(MP_QSTR_uint8);
    case CAPSULE_BOOL:
        return MP_OBJ_NEW_QSTR(MP_QSTR_bool);
    case CAPSULE_F32:
        return MP_OBJ_NEW_QSTR(MP_QSTR_float32);
    default:
        return mp_const_none;
    }
}

static void put(mp_obj_t dict, qstr key, mp_obj_t value)
{
    mp_obj_dict_store(dict, MP_OBJ_NEW_QSTR(key), value);
}

static mp_obj_t tensors(const struct capsule_tensor *tensor, uint32_t count)
{
    const mp_obj_t list = mp_obj_new_list(0, NULL);

    for (uint32_t i = 0; i < count; i++, tensor++) {
        const mp_obj_t dict = mp_obj_new_dict(6);
        const mp_obj_t shape = mp_obj_new_list(0, NULL);

        for (uint32_t j = 0; j < tensor->rank; j++) {
            mp_obj_list_append(shape, number(tensor->dims[j]));
        }
        put(dict, MP_QSTR_name, mpmodel_text(tensor->name));
        put(dict, MP_QSTR_dtype, dtype_text(tensor->dtype));
        put(dict, MP_QSTR_shape, shape);
        put(dict, MP_QSTR_bytes, number(tensor->bytes));
        put(dict, MP_QSTR_scale, new_real(tensor->scale));
        put(dict, MP_QSTR_zero_point, mp_obj_new_int(tensor->zero_point));
        mp_obj_list_append(list, dict);
    }
    return list;
}

static mp_obj_t mpmodel_info(mp_obj_t self_in)
{
    const struct capsule *capsule = ((struct mpmodel *)MP_OBJ_TO_PTR(self_in))->capsule;
    const mp_obj_t dict = mp_obj_new_dict(10);
    const mp_obj_t labels = mp_obj_new_list(0, NULL);

    for (uint32_t i = 0; i < capsule->label_count; i++) {
        mp_obj_list_append(labels, mpmodel_text(capsule->labels[i]));
    }
    put(dict, MP_QSTR_name, mpmodel_text(capsule->name));
    put(dict, MP_QSTR_model_id, mp_obj_new_bytes(capsule->model_id, sizeof capsule->model_id));
    put(dict, MP_QSTR_abi, number(capsule->abi));
    put(dict, MP_QSTR_kernels, mpmodel_text(capsule->kernels));
    put(dict, MP_QSTR_metered, mp_obj_new_bool(capsule->policy != CAPSULE_UNMETERED));
    put(dict, MP_QSTR_arena_bytes, number(capsule->arena_bytes[0] + capsule->arena_bytes[1]));
    put(dict, MP_QSTR_macs, number(capsule->macs));
    put(dict, MP_QSTR_inputs, tensors(capsule->inputs, capsule->input_count));
    put(dict, MP_QSTR_outputs, tensors(capsule->outputs, capsule->output_count));
    put(dict, MP_QSTR_labels, labels);
    return dict;
}
static MP_DEFINE_CONST_FUN_OBJ_1(mpmodel_info_obj, mpmodel_info);

static mp_obj_t mpmodel_latency(mp_obj_t self_in)
{
    const struct mpmodel *self = MP_OBJ_TO_PTR(self_in);
    const mp_obj_t dict = mp_obj_new_dict(5);

    put(dict, MP_QSTR_count, number(self->count));
    put(dict, MP_QSTR_last_us, number(self->last_us));
    put(dict, MP_QSTR_min_us, number(self->min_us));
    put(dict, MP_QSTR_max_us, number(self->max_us));
    put(dict, MP_QSTR_total_ms, number(self->total_ms));
    return dict;
}
static MP_DEFINE_CONST_FUN_OBJ_1(mpmodel_latency_obj, mpmodel_latency);

static mp_obj_t mpmodel_reset(mp_obj_t self_in)
{
    const struct mpmodel *self = MP_OBJ_TO_PTR(self_in);

    self->capsule->reset(&self->memory);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(mpmodel_reset_obj, mpmodel_reset);

static mp_obj_t mpmodel_self_test(mp_obj_t self_in)
{
    const struct mpmodel *self = MP_OBJ_TO_PTR(self_in);
    const struct capsule *capsule = self->capsule;

    capsule->reset(&self->memory);
    selftest_fill(capsule, &self->memory);
    capsule->invoke(&self->memory);
    const uint32_t crc = selftest_crc(capsule, &self->memory);

    capsule->reset(&self->memory);
    return mp_obj_new_bool(crc == capsule->test_crc);
}
static MP_DEFINE_CONST_FUN_OBJ_1(mpmodel_self_test_obj, mpmodel_self_test);

static mp_obj_t mpmodel_on_charge(mp_obj_t self_in, mp_obj_t function)
{
    ((struct mpmodel *)MP_OBJ_TO_PTR(self_in))->charge = function;
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(mpmodel_on_charge_obj, mpmodel_on_charge);

static mp_obj_t mpmodel_on_predict(mp_obj_t self_in, mp_obj_t function)
{
    ((struct mpmodel *)MP_OBJ_TO_PTR(self_in))->observe = function;
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(mpmodel_on_predict_obj, mpmodel_on_predict);

#if MICROPY_ENABLE_DYNRUNTIME
mp_map_elem_t mpmodel_methods_table[7];
static MP_DEFINE_CONST_DICT(methods, mpmodel_methods_table);

static void method(uint32_t index, qstr name, const void *function)
{
    mpmodel_methods_table[index].key = MP_OBJ_NEW_QSTR(name);
    mpmodel_methods_table[index].value = MP_OBJ_FROM_PTR(function);
}

void mpmodel_init(void)
{
    method(0, MP_QSTR_predict, &mpmodel_predict_obj);
    method(1, MP_QSTR_info, &mpmodel_info_obj);
    method(2, MP_QSTR_latency, &mpmodel_latency_obj);
    method(3, MP_QSTR_reset, &mpmodel_reset_obj);
    method(4, MP_QSTR_self_test, &mpmodel_self_test_obj);
    method(5, MP_QSTR_on_charge, &mpmodel_on_charge_obj);
    method(6, MP_QSTR_on_predict, &mpmodel_on_predict_obj);
    mpmodel_type.base.type = (void *)&mp_type_type;
    mpmodel_type.name = MP_QSTR_Model;
    MP_OBJ_TYPE_SET_SLOT(&mpmodel_type, locals_dict, (void *)&methods, 0);
}
#else
static const mp_rom_map_elem_t methods_table[] = {
    { MP_ROM_QSTR(MP_QSTR_predict), MP_ROM_PTR(&mpmodel_predict_obj) },
    { MP_ROM_QSTR(MP_QSTR_info), MP_ROM_PTR(&mpmodel_info_obj) },
    { MP_ROM_QSTR(MP_QSTR_latency), MP_ROM_PTR(&mpmodel_latency_obj) },
    { MP_ROM_QSTR(MP_QSTR_reset), MP_ROM_PTR(&mpmodel_reset_obj) },
    { MP_ROM_QSTR(MP_QSTR_self_test), MP_ROM_PTR(&mpmodel_self_test_obj) },
    { MP_ROM_QSTR(MP_QSTR_on_charge), MP_ROM_PTR(&mpmodel_on_charge_obj) },
    { MP_ROM_QSTR(MP_QSTR_on_predict), MP_ROM_PTR(&mpmodel_on_predict_obj) },
};
static MP_DEFINE_CONST_DICT(methods, methods_table);

MP_DEFINE_CONST_OBJ_TYPE(mpmodel_type, MP_QSTR_Model, MP_TYPE_FLAG_NONE, locals_dict, &methods);
#endif
