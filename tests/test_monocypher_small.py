"""The bootloader's shorter Monocypher does what the whole one does."""

from __future__ import annotations

import random
import struct
import subprocess

import pytest

from test_crypto import ED25519_BAD, ED25519_GOOD, SMALL, wycheproof
from tinyseal.build.firmware import ROOT, THIRD_PARTY
from tinyseal.build.native import SANITIZE, compile_native
from tinyseal.build.third_party import monocypher

CRYPTO = ROOT / "firmware/crypto"
MAX_LIMBS = [int(1.65 * 2 ** (26 - i % 2)) for i in range(10)]
CASES = 3000

MAIN = """
#include <stdio.h>
#include <string.h>
#include SOURCE

static void put(const char *name, const void *bytes, size_t len)
{
    const unsigned char *p = bytes;
    printf("%s ", name);
    for (size_t i = 0; i < len; i++) {
        printf("%02x", p[i]);
    }
    putchar('\\n');
}

int main(void)
{
    fe f, g, h;
    u8 bytes[32];
    while (fread(f, 4, 10, stdin) == 10 && fread(g, 4, 10, stdin) == 10
           && fread(bytes, 1, 32, stdin) == 32) {
        fe_mul(h, f, g); put("mul", h, sizeof h);
        fe_tobytes(bytes, h); put("bytes", bytes, 32);
        fe_sq(h, f); put("square", h, sizeof h);
        fe_mul_small(h, f, g[0]); put("small", h, sizeof h);
        for (unsigned bits = 1; bits <= 2; bits++) {
            fe_frombytes_mask(h, bytes, bits); put("from", h, sizeof h);
        }
        memcpy(h, f, sizeof h); fe_ccopy(h, g, g[0] & 1); put("copy", h, sizeof h);
        fe_mul(h, f, g);
        fe root;
        int is_square = invsqrt(root, h);
        fe_tobytes(bytes, root); put(is_square ? "square" : "no square", bytes, 32);
        fe_sq(h, h); fe_neg(h, h);
        is_square = invsqrt(root, h);
        fe_tobytes(bytes, root); put(is_square ? "square" : "no square", bytes, 32);
    }
}
"""

CHECK = """
#include <stdio.h>
#include "ed25519.h"

/* Public key, signature, length, message, again and again; the verdicts. */
int main(void)
{
    unsigned char public_key[32], signature[64], message[2048];
    unsigned len;

    while (fread(public_key, 1, 32, stdin) == 32 && fread(signature, 1, 64, stdin) == 64
           && fread(&len, 4, 1, stdin) == 1 && len <= sizeof message
           && fread(message, 1, len, stdin) == len) {
        printf("%08x\\n", (unsigned)ed25519_check(public_key, message, len, signature));
    }
}
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("field")
    curve = monocypher(ROOT / THIRD_PARTY)
    made = []
    for name, source in (("whole", curve.source), ("small", SMALL)):
        main = folder / f"{name}.c"
        main.write_text(MAIN.replace("SOURCE", f'"{source}"'))
        flags = (*SANITIZE, "-w")
        dirs = (curve.include_dir, curve.frame_dir)
        made.append(compile_native(name, [main], [], dirs, flags, cache=folder))
    return made


def cases(draw: random.Random) -> bytes:
    """Elements with limbs up to the precondition's bounds, both signs, and bytes."""
    out = b""
    for number in range(CASES):
        for _ in range(2):
            sign = (lambda: 1, lambda: -1, lambda: draw.choice((-1, 1)))[number % 3]
            full = number % 5 == 0
            limbs = [sign() * (m if full else draw.randrange(m)) for m in MAX_LIMBS]
            if number % 7 == 0:
                limbs = [draw.choice((0, limb)) for limb in limbs]
            out += b"".join(limb.to_bytes(4, "little", signed=True) for limb in limbs)
        out += draw.choice((draw.randbytes(32), b"\xff" * 32, bytes(32), b"\xed" + b"\xff" * 31))
    return out


def run(program, data: bytes) -> list[str]:
    done = subprocess.run([program], input=data, capture_output=True, check=True)
    return done.stdout.decode().splitlines()


def value(limbs: str) -> int:
    """The field element in a line of the programs."""
    raw = bytes.fromhex(limbs)
    total = 0
    for i in range(10):
        limb = int.from_bytes(raw[4 * i : 4 * i + 4], "little", signed=True)
        total += limb << ((51 * i + 1) // 2)
    return total % (2**255 - 19)


def test_the_field_is_the_same_over_all_its_preconditions(programs):
    data = cases(random.Random(20))
    whole, small = (run(program, data) for program in programs)
    assert len(whole) == len(small) == 9 * CASES
    for a, b in zip(whole, small, strict=True):
        (name, left), (other, right) = a.rsplit(" ", 1), b.rsplit(" ", 1)
        assert name == other
        if len(left) == 80:  # limbs: the same element, perhaps in other limbs
            assert value(left) == value(right), name
            limits = [1.1 * 2 ** (25 - i % 2) for i in range(10)]
            raw = bytes.fromhex(right)
            limbs = [
                int.from_bytes(raw[4 * i : 4 * i + 4], "little", signed=True) for i in range(10)
            ]
            if name != "copy":
                assert all(abs(limb) < limit for limb, limit in zip(limbs, limits, strict=True))
        else:
            assert left == right, name


def test_every_signature_of_wycheproof_is_judged_right_under_sanitizers(tmp_path):
    curve = monocypher(ROOT / THIRD_PARTY)
    main = tmp_path / "check.c"
    main.write_text(CHECK)
    sources = [main, SMALL, *(CRYPTO / name for name in ("ed25519.c", "sha2.c", "sha512.c"))]
    dirs = (curve.include_dir, curve.frame_dir)
    program = compile_native("check", sources, [CRYPTO], dirs, SANITIZE, tmp_path)
    data, expected = b"", []
    for group, test in wycheproof("ed25519_test.json"):
        message, signature = bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"])
        if len(signature) == 64:
            data += bytes.fromhex(group["publicKey"]["pk"]) + signature
            data += struct.pack("<I", len(message)) + message
            expected.append(ED25519_GOOD if test["result"] == "valid" else ED25519_BAD)
    assert {ED25519_GOOD, ED25519_BAD} == set(expected)
    assert [int(verdict, 16) for verdict in run(program, data)] == expected
