/* The capsule: one model compiled ahead of time, called through one table.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A capsule owns no RAM. It states how many bytes it needs in each memory region; the caller
 * hands over that many, aligned to CAPSULE_ALIGN, and keeps them for as long as it calls in.
 * Region 0 is always there; region 1 exists only on boards that have a second kind of RAM.
 *
 * The table is generated code; nothing in it is trusted before the image that carries it has
 * been verified. */
#ifndef CAPSULE_H
#define CAPSULE_H

#include <stdint.h>

#define CAPSULE_MAGIC 0x4c534354u /* "TCSL", little endian */
#define CAPSULE_ABI 3u            /* raised by every change to this file's structs */
#define CAPSULE_REGIONS 2
#define CAPSULE_MAX_RANK 6
#define CAPSULE_ALIGN 16

enum capsule_dtype {
    CAPSULE_S8 = 1,
    CAPSULE_S16 = 2,
    CAPSULE_S32 = 3,
    CAPSULE_U8 = 4,
    CAPSULE_BOOL = 5,
    CAPSULE_F32 = 6,
    CAPSULE_S64 = 7,
};

/* Bytes of one element. */
static inline uint32_t capsule_width(enum capsule_dtype dtype)
{
    switch (dtype) {
    case CAPSULE_S16:
        return 2;
    case CAPSULE_S32:
    case CAPSULE_F32:
        return 4;
    case CAPSULE_S64:
        return 8;
    case CAPSULE_S8:
    case CAPSULE_U8:
    case CAPSULE_BOOL:
    default:
        return 1;
    }
}

struct capsule_tensor {
    const char *name;
    uint32_t bytes;
    uint16_t region;              /* where the tensor lies while the caller may touch it: */
    uint16_t rank;                /* memory->region[region] + offset */
    uint32_t offset;
    uint32_t dims[CAPSULE_MAX_RANK];
    enum capsule_dtype dtype;
    float scale;                  /* real = scale * (q - zero_point); 0 if not quantised */
    int32_t zero_point;
};

/* What an inference costs. Neither word is what an erased or a zeroed one holds. */
enum capsule_policy {
    CAPSULE_UNMETERED = 0x5a3c9669,
    CAPSULE_METERED = 0x69c35a96, /* a prepaid query each */
};

struct capsule_memory {
    uint8_t *region[CAPSULE_REGIONS];

    /* Called between two layers, so that the caller can serve others while the model runs; NULL:
     * not. It must leave the regions alone. */
    void (*between)(void);
};

#define CAPSULE_BINS 8            /* of a feature */
#define CAPSULE_SHARES 16         /* of whatever has the most bins */
#define CAPSULE_LIMITS 4
#define CAPSULE_MAX_GROUPS 8      /* of the input */

/* A number that is taken of every inference (firmware/SPEC.md, "Statistics"), as it was in
 * training: bins of about equal share, and the range outside of which an input is unusual. */
struct capsule_feature {
    int16_t edge[CAPSULE_BINS - 1]; /* the bin is how many of these are not above the value */
    int16_t low, high;
};

/* How often each bin was met in training, in 1/32768; none is 0. Beyond `limit` (PSI, KS or mix, JS,
 * slow PSI; in 1/4096) a window has drifted. */
struct capsule_distribution {
    uint16_t share[CAPSULE_SHARES];
    uint16_t limit[CAPSULE_LIMITS];
};

/* What inputs and outputs are held against. */
struct capsule_reference {
    uint16_t window;   /* inferences that are judged together */
    uint16_t channels; /* of input 0: its elements take turns, as it lies in memory */
    uint16_t groups;   /* of neighbouring channels; a level and a spread each */
    const struct capsule_feature *features; /* 2 * groups, then two of the output */
    const struct capsule_distribution *distributions; /* of the features, then of the classes */
};

struct capsule {
    uint32_t magic;
    uint32_t abi;
    const char *name;
    const char *kernels;          /* the set it was built with, as the user asked for it */
    uint8_t model_id[32];         /* SHA-256 of the source model */
    uint8_t family[32];           /* SHA-256 of the family's name; zeros: of none */
    enum capsule_policy policy;   /* anything unknown counts as metered */
    uint32_t arena_bytes[CAPSULE_REGIONS];
    uint32_t state_bytes[CAPSULE_REGIONS]; /* the first of them: kept between inferences */
    uint16_t input_count;
    uint16_t output_count;
    uint16_t label_count;
    uint16_t layer_count;
    const struct capsule_tensor *inputs;
    const struct capsule_tensor *outputs;
    const char *const *labels;    /* label_count names of the first output's classes */
    const char *const *layers;    /* layer_count names, in the order they run */
    uint32_t macs;                /* multiply-accumulates of one inference */
    uint32_t test_seed;           /* self-test, firmware/SPEC.md: what the inputs are drawn from, */
    uint32_t test_crc;            /* and the CRC-32 of the outputs they give after reset() */

    const struct capsule_reference *reference; /* null: built without one */

    /* Puts state tensors (SVDF, LSTM) at their start. Call once before the first invoke. */
    void (*reset)(const struct capsule_memory *memory);

    /* Reads the inputs where they lie, leaves the outputs where they lie; inputs are
     * overwritten. Never fails: everything that can was checked when it was generated. */
    void (*invoke)(const struct capsule_memory *memory);
};

extern const struct capsule capsule_table;

#endif
