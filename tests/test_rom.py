"""The arithmetic that the LX106's compiler library lacks, held against this machine's own."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest

ROM = Path(__file__).resolve().parents[1] / "firmware/hal/xtensa/rom.c"
RUNS = 200_000

EDGES = np.array(
    [0, 1, 0x7FFFFF, 0x800000, 0x800001, 0x3F800000, 0x3F7FFFFF, 0x4B000000, 0x4B7FFFFF,
     0x7F7FFFFF, 0x7F800000, 0x7FC00000, 0x00400000, 0x33800000, 0x33800001, 0x5F000000],
    np.uint32,
)  # fmt: skip

HARNESS = """
#include <stdint.h>
#define UNARY(f, in, out) \\
    out __##f(in a); \\
    void many_##f(const in *a, out *r, int n) { while (n--) *r++ = __##f(*a++); }
#define BINARY(f, t) \\
    t __##f(t a, t b); \\
    void many_##f(const t *a, const t *b, t *r, int n) { while (n--) *r++ = __##f(*a++, *b++); }
BINARY(addsf3, float) BINARY(subsf3, float) BINARY(mulsf3, float)
BINARY(muldi3, int64_t) BINARY(divdi3, int64_t) BINARY(udivdi3, uint64_t)
BINARY(umoddi3, uint64_t) BINARY(udivsi3, uint32_t) BINARY(umodsi3, uint32_t)
BINARY(divsi3, int32_t) BINARY(modsi3, int32_t)
UNARY(floatsisf, int32_t, float) UNARY(floatunsisf, uint32_t, float)
UNARY(fixunssfsi, float, uint32_t)
"""


@pytest.fixture(scope="module")
def rom(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rom")
    harness, library = folder / "harness.c", folder / "rom.so"
    harness.write_text(HARNESS)
    subprocess.run(
        ["gcc", "-O1", "-shared", "-fPIC", "-Wl,-Bsymbolic", "-Wno-builtin-declaration-mismatch",
         str(harness), str(ROM), "-o", str(library)],
        check=True,
    )  # fmt: skip
    return ctypes.CDLL(str(library))


def _call(rom, name, out, *arrays):
    result = np.empty(len(arrays[0]), out)
    pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in (*arrays, result)]
    getattr(rom, f"many_{name}")(*pointers, len(result))
    return result


def _floats(rng):
    """Any bits, neighbours in size, and every pair of edges with both signs."""
    edges = np.concatenate([EDGES, EDGES | 0x80000000])
    a, b = (m.ravel().astype(np.uint32) for m in np.meshgrid(edges, edges))
    x, y = rng.integers(0, 2**32, (2, RUNS), dtype=np.uint32)
    near = x ^ rng.integers(0, 1 << 27, RUNS, dtype=np.uint32) ^ np.uint32(0x80000000)
    return (
        np.concatenate([a, x, x]).view(np.float32),
        np.concatenate([b, y, near]).view(np.float32),
    )


@pytest.mark.parametrize(
    ("name", "operation"), [("addsf3", np.add), ("subsf3", np.subtract), ("mulsf3", np.multiply)]
)
def test_floats_round_as_ieee_754(rom, name, operation):
    a, b = _floats(np.random.default_rng(1))
    with np.errstate(all="ignore"):
        expected = operation(a, b)
    got = _call(rom, name, np.float32, a, b)
    assert np.array_equal(np.isnan(got), np.isnan(expected))
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(got[numbers].view(np.uint32), expected[numbers].view(np.uint32))


def test_integers_become_the_nearest_floats(rom):
    a = np.concatenate([EDGES, ~EDGES, np.random.default_rng(2).integers(0, 2**32, RUNS)])
    a = (a >> np.arange(len(a)) % 32).astype(np.uint32)
    np.testing.assert_array_equal(_call(rom, "floatunsisf", np.float32, a), a.astype(np.float32))
    s = a.view(np.int32)
    np.testing.assert_array_equal(_call(rom, "floatsisf", np.float32, s), s.astype(np.float32))
    inside = np.abs(_floats(np.random.default_rng(3))[0])
    inside = inside[inside < 2.0**32]
    np.testing.assert_array_equal(
        _call(rom, "fixunssfsi", np.uint32, inside), inside.astype(np.uint64).astype(np.uint32)
    )


@pytest.mark.parametrize("bits", [32, 64])
def test_integers_multiply_and_divide(rom, bits):
    rng = np.random.default_rng(bits)
    unsigned, signed = (np.uint32, np.int32) if bits == 32 else (np.uint64, np.int64)
    n, d = (
        (rng.integers(0, 2**bits, RUNS, unsigned) >> rng.integers(0, bits, RUNS).astype(unsigned))
        for _ in "nd"
    )
    d = np.maximum(d, 1)
    kind = "si3" if bits == 32 else "di3"
    np.testing.assert_array_equal(_call(rom, f"udiv{kind}", unsigned, n, d), n // d)
    np.testing.assert_array_equal(_call(rom, f"umod{kind}", unsigned, n, d), n % d)
    sn, sd = n.view(signed), d.view(signed)
    size = np.abs(sn).astype(unsigned) // np.abs(sd).astype(unsigned)
    negative = (sn < 0) != (sd < 0)
    np.testing.assert_array_equal(
        _call(rom, f"div{kind}", signed, sn, sd), np.where(negative, 0 - size, size).astype(signed)
    )
    if bits == 32:
        rest = np.fmod(sn.astype(np.int64), sd.astype(np.int64)).astype(np.int32)
        np.testing.assert_array_equal(_call(rom, "modsi3", signed, sn, sd), rest)
    if bits == 64:
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(_call(rom, "muldi3", signed, sn, sd), sn * sd)
