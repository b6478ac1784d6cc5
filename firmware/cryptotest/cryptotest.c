/* A firmware of its own that computes what it is told over the console: puts test vectors to the
 * cryptography as it runs on the board. Never part of a product.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Lines as the application's: `ok ...`, or `err CODE`. Operands are put together in slots; bytes
 * are hexadecimal, numbers decimal.
 *
 *   echo TEXT        ok TEXT
 *   clear            ok; empties the slots
 *   put SLOT HEX     ok; appends
 *   sha 256|512      ok; begins a hash
 *   update           ok; adds slot 0
 *   final            ok HEX
 *   hmac             ok HEX; key in slot 0, message in 1
 *   hkdf BYTES       ok HEX, the SHA-256 of the output; secret, salt, info in 0, 1, 2
 *   aes              ok HEX; key in 0, one block in 1, encrypted
 *   ed25519          ok HEX, the verdict; public key, message, signature in 0, 1, 2
 *   ecdsa            the same; public key, digest, signature as r, s
 *   x25519           ok HEX; private key in 0, public key in 1
 *   stack            ok USED BYTES
 */
#include <string.h>

#include "aes_ctr.h"
#include "ecdsa_p256.h"
#include "ed25519.h"
#include "hal.h"
#include "hmac.h"
#include "line.h"
#include "monocypher.h"
#include "out.h"
#include "sha256.h"
#include "sha512.h"
#include "stack.h"
#include "status.h"

#define SLOTS 3u
#define SLOT_BYTES 1024u
#define RESULT_BYTES 8192u

int main(void);

static struct line line;
static uint8_t slot[SLOTS][SLOT_BYTES];
static size_t len[SLOTS];
static uint8_t result[RESULT_BYTES];
static struct sha256 sha256;
static struct sha512 sha512;
static unsigned sha_bits;

static int ok(size_t bytes)
{
    out_text(bytes > 0 ? "ok " : "ok");
    for (size_t i = 0; i < bytes; i++) {
        out_hex(result[i], 2);
    }
    out_end();
    return 0;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1);
}

static int serve_put(char *rest)
{
    unsigned number;
    const int err = line_number(&rest, &number);
    const char *word = line_word(&rest);

    if (err || number >= SLOTS || !word) {
        return STATUS_EARGUMENT;
    }
    for (; word[0] != '\0' && word[1] != '\0' && len[number] < SLOT_BYTES; word += 2) {
        if (digit(word[0]) < 0 || digit(word[1]) < 0) {
            return STATUS_EARGUMENT;
        }
        slot[number][len[number]++] = (uint8_t)(16 * digit(word[0]) + digit(word[1]));
    }
    return *word == '\0' ? ok(0) : STATUS_EARGUMENT;
}

static int serve_clear(char *rest)
{
    (void)rest;
    memset(len, 0, sizeof len);
    return ok(0);
}

static int serve_sha(char *rest)
{
    const int err = line_number(&rest, &sha_bits);

    sha256_init(&sha256);
    sha512_init(&sha512);
    return err ? err : ok(0);
}

static int serve_update(char *rest)
{
    (void)rest;
    if (sha_bits == 256) {
        sha256_update(&sha256, slot[0], len[0]);
    } else {
        sha512_update(&sha512, slot[0], len[0]);
    }
    return ok(0);
}

static int serve_final(char *rest)
{
    (void)rest;
    if (sha_bits == 256) {
        sha256_final(&sha256, result);
        return ok(SHA256_BYTES);
    }
    sha512_final(&sha512, result);
    return ok(SHA512_BYTES);
}

static int serve_hmac(char *rest)
{
    struct hmac hmac;

    (void)rest;
    hmac_init(&hmac, slot[0], len[0]);
    hmac_update(&hmac, slot[1], len[1]);
    hmac_final(&hmac, result);
    return ok(SHA256_BYTES);
}

static int serve_hkdf(char *rest)
{
    unsigned bytes;
    int err = line_number(&rest, &bytes);

    if (!err && bytes > RESULT_BYTES) {
        err = STATUS_ERANGE;
    }
    if (!err && hmac_hkdf(slot[0], len[0], slot[1], len[1], slot[2], len[2], result, bytes)) {
        err = STATUS_EDATA;
    }
    if (err) {
        return err;
    }
    sha256_init(&sha256);
    sha256_update(&sha256, result, bytes);
    sha256_final(&sha256, result);
    return ok(SHA256_BYTES);
}

static int serve_aes(char *rest)
{
    static const uint8_t zeros[AES_CTR_BLOCK_BYTES];
    struct aes_ctr aes;

    (void)rest;
    if (len[1] != AES_CTR_BLOCK_BYTES || aes_ctr_init(&aes, slot[0], len[0])) {
        return STATUS_EARGUMENT;
    }
    /* One block of counter mode over zeros is the block cipher of the counter. */
    aes_ctr_crypt(&aes, slot[1], 0, zeros, result, sizeof zeros);
    aes_ctr_wipe(&aes);
    return ok(AES_CTR_BLOCK_BYTES);
}

static int serve_ed25519(char *rest)
{
    (void)rest;
    if (len[0] != ED25519_PUBLIC_BYTES || len[2] != ED25519_SIGNATURE_BYTES) {
        return STATUS_EARGUMENT;
    }
    const uint32_t verdict = (uint32_t)ed25519_check(slot[0], slot[1], len[1], slot[2]);

    out_text("ok ");
    out_hex(verdict, 8);
    out_end();
    return 0;
}

static int serve_ecdsa(char *rest)
{
    (void)rest;
    if (len[0] != ECDSA_P256_PUBLIC_BYTES || len[1] != ECDSA_P256_DIGEST_BYTES
        || len[2] != ECDSA_P256_SIGNATURE_BYTES) {
        return STATUS_EARGUMENT;
    }
    out_text("ok ");
    out_hex((uint32_t)ecdsa_p256_check(slot[0], slot[1], slot[2]), 8);
    out_end();
    return 0;
}

static int serve_x25519(char *rest)
{
    (void)rest;
    if (len[0] != 32 || len[1] != 32) {
        return STATUS_EARGUMENT;
    }
    crypto_x25519(result, slot[0], slot[1]);
    return ok(32);
}

static int serve_stack(char *rest)
{
    (void)rest;
    out_text("ok ");
    out_u64(stack_high_water());
    out_text(" ");
    out_u64(stack_bytes());
    out_end();
    return 0;
}

static int serve_echo(char *rest)
{
    out_text("ok ");
    out_text(rest);
    out_end();
    return 0;
}

static const struct {
    const char *name;
    int (*serve)(char *rest);
} commands[] = {
    { "echo", serve_echo },     { "clear", serve_clear },     { "put", serve_put },
    { "sha", serve_sha },       { "update", serve_update },   { "final", serve_final },
    { "hmac", serve_hmac },     { "hkdf", serve_hkdf },       { "aes", serve_aes },
    { "ed25519", serve_ed25519 }, { "x25519", serve_x25519 }, { "ecdsa", serve_ecdsa },
    { "stack", serve_stack },
};

static int serve(char *text)
{
    char *rest = text;
    const char *word = line_word(&rest);

    for (unsigned i = 0; word && i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(word, commands[i].name) == 0) {
            return commands[i].serve(rest);
        }
    }
    return word ? STATUS_ECOMMAND : 0;
}

int main(void)
{
    out_text("m-ready");
    out_end();
    for (;;) {
        const int byte = hal.uart->read();

        (void)hal.clock->ticks(); /* feeds a watchdog */
        if (byte < 0 || !line_push(&line, byte)) {
            continue;
        }
        const int err = line.fault ? line.fault : serve(line.text);

        if (err) {
            out_text("err ");
            out_i32(-err);
            out_end();
        }
        line_clear(&line);
    }
}
