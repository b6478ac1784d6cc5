/* Why a command was refused: negative, with one text each. SPDX-License-Identifier: Apache-2.0
 * The numbers are part of the serial protocol (firmware/SPEC.md); they never change meaning. */
#ifndef STATUS_H
#define STATUS_H

enum status {
    STATUS_OK = 0,
    STATUS_ECOMMAND = -1,  /* no such command */
    STATUS_EARGUMENT = -2, /* an argument is missing, superfluous or not a number */
    STATUS_ERANGE = -3,    /* no such tensor or layer, or bytes outside of it */
    STATUS_ECRC = -4,      /* the bytes do not match their checksum */
    STATUS_ELONG = -5,     /* the line is longer than the buffer */
    STATUS_ENOISE = -6,    /* the line holds bytes that are not printable ASCII */
    STATUS_EINPUT = -7,    /* the inputs are not loaded completely */
    STATUS_EONCE = -8,     /* inputs are used up by one inference on this board */
    STATUS_EDATA = -9,     /* not base64 or hex, or an odd number of digits */
    STATUS_EROOM = -10,    /* this board has no room for it */
    STATUS_EMODEL = -11,   /* there is no model */
    STATUS_EABI = -12,     /* the model is for an application of another ABI */
    STATUS_EBOOT = -13,    /* the bootloader's state cannot be read or written */
    STATUS_EEMPTY = -14,   /* no prepaid query is left for this model */
    STATUS_EWORN = -15,    /* the counter of queries is near the end of its life */
    STATUS_EMETER = -16,   /* the records of prepaid queries are missing, spoilt or old */
    STATUS_EBUSY = -17,    /* the model is running */
    STATUS_ETEST = -18,    /* the model's self-test gave other outputs than it must */
};

/* A few words for a person. */
const char *status_text(int status);

#endif
