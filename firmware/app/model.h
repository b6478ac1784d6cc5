/* The model's memory, and the way its inputs take. SPDX-License-Identifier: Apache-2.0
 *
 * The application is built without a model; it takes whichever capsule it is given.
 *
 * Inference overwrites the inputs where they lie in the arena. Where the model leaves room in the
 * board's arena memory, a buffer is put there (model_staging_bytes() > 0): inputs are loaded into
 * it, copied before every inference, and so stay loaded. Where it does not, inputs are loaded in
 * place and one inference uses them up; loading may then destroy the last outputs. */
#ifndef MODEL_H
#define MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "capsule.h"

/* How the bytes in the staging buffer encode the inputs. */
enum model_encoding {
    MODEL_RAW = 0, /* as the tensors want them */
    MODEL_U8 = 1,  /* int8 plus 128 */
    MODEL_F32 = 2, /* little-endian float32, to be quantised */
};

#define MODEL_MAX_INPUTS 32 /* of one model */

/* Takes a verified capsule into service and puts its state at the start. Otherwise there is no
 * model: STATUS_EMODEL (it is no capsule), STATUS_EABI (it is for another application),
 * STATUS_EROOM (its arena is larger than this board's, or it has too many inputs). */
int model_mount(const struct capsule *capsule);

/* The capsule in service. Never null: without a model, one without tensors, named `-`. */
const struct capsule *model_capsule(void);

/* Bytes of the buffer that keeps inputs; 0 if there is none. */
uint32_t model_staging_bytes(void);

/* Puts the model's state (SVDF, LSTM) back to its start. */
void model_clear(void);

/* Sets `len` bytes of an input at `offset`, in its own encoding. Chunks must come in order; an
 * earlier offset may be sent again. Returns how many bytes of it are loaded, or STATUS_ERANGE. */
int32_t model_load(uint32_t index, uint32_t offset, const uint8_t *bytes, size_t len);

/* Announces `len` bytes for all inputs together in `encoding`; model_append() then brings them.
 * STATUS_EROOM without a staging buffer of that size, STATUS_ERANGE if the inputs have another. */
int model_expect(enum model_encoding encoding, uint32_t len);

/* One more byte; the number still missing, or STATUS_ERANGE if none is. */
int32_t model_append(uint8_t byte);

/* The bytes announced or loaded: what lies in the staging buffer. */
const uint8_t *model_staged(uint32_t *len);

/* Runs the model n times; *ticks is the time spent in it, in ticks of the clock.
 * STATUS_EMODEL, STATUS_EINPUT, STATUS_EONCE if n > 1 without a staging buffer, or what
 * metering_charge() says: then those before have run. */
int model_infer(uint32_t n, uint64_t *ticks);

/* Is told how many ticks a layer took. */
typedef void (*model_teller)(uint32_t layer, uint64_t ticks);

/* Runs the model once and tells of each layer as it ends; *ticks is their sum, without the telling.
 * Between layers nothing else is served. Errors as model_infer(). */
int model_time(model_teller tell, uint64_t *ticks);

/* Runs the model on the inputs drawn for its self-test, from the start of its state, where it leaves
 * it. STATUS_ETEST if the outputs, whose CRC-32 goes to *crc, are other than they must be. Inputs
 * are not lost where there is a staging buffer; outputs are. */
int model_self_test(uint32_t *crc);

/* 1 while the model runs: what comes between two of its layers must leave it alone. */
int model_is_running(void);

/* Counted from start-up. */
struct model_counts {
    uint32_t inferences;
    uint32_t refused; /* inferences that were asked for and not done */
};
extern struct model_counts model_counts;

/* Where the first input lies, as the model reads it; null if there is none. */
const uint8_t *model_first_input(void);

/* Bytes [offset, offset + len) of output `index`, or null if there are no such bytes. */
const uint8_t *model_output(uint32_t index, uint32_t offset, uint32_t len);

/* Real value of element `element` of output `index`, which must be there. */
float model_real_output(uint32_t index, uint32_t element);

/* Elements of a tensor. */
uint32_t model_elements(const struct capsule_tensor *tensor);

#endif
