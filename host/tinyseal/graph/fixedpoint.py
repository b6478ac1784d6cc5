"""TensorFlow Lite Micro's fixed-point arithmetic, on numpy int64 arrays.

Source: gemmlowp fixedpoint/fixedpoint.h and tflite kernels/internal/common.h,
quantization_util.cc (double rounding, which TFLM builds with).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

S32_MIN: Final = -(2**31)
S32_MAX: Final = 2**31 - 1

IntArray = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Requant:
    """A positive real factor as multiplier * 2**(shift - 31)."""

    multiplier: int  # Q31: 0, or in [2**30, 2**31)
    shift: int  # in [-31, 30]; positive is to the left


def quantize_multiplier(factor: float) -> Requant:
    """`factor` >= 0 as the nearest Requant (QuantizeMultiplier).

    Factors under 2**-32 become 0; factors of 2**30 and more saturate.
    """
    if factor == 0.0:
        return Requant(0, 0)
    mantissa, shift = math.frexp(factor)
    # C's round(): half away from zero; the mantissa is positive.
    fixed = math.floor(mantissa * 2**31 + 0.5)
    if fixed == 2**31:
        fixed //= 2
        shift += 1
    if shift < -31:
        return Requant(0, 0)
    if shift > 30:
        return Requant(S32_MAX, 30)
    return Requant(fixed, shift)


def wrap32(a: IntArray) -> npt.NDArray[np.int64]:
    """Two's complement wrap to 32 bits, as C's unsigned arithmetic does."""
    return ((a.astype(np.int64) + 2**31) & 0xFFFFFFFF) - 2**31


def high_mul(a: IntArray, b: IntArray | int) -> npt.NDArray[np.int64]:
    """High half of 2ab, half away from zero (SaturatingRoundingDoublingHighMul)."""
    product = a.astype(np.int64) * np.asarray(b, dtype=np.int64)
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    # C divides towards zero; >> would floor.
    result = np.where(nudged >= 0, nudged >> 31, -((-nudged) >> 31))
    return np.minimum(result, S32_MAX)


def divide_by_pot(a: IntArray, exponent: IntArray | int) -> npt.NDArray[np.int64]:
    """a / 2**exponent, half away from zero (RoundingDivideByPOT); exponent in [0, 31]."""
    a = a.astype(np.int64)
    mask = (np.int64(1) << np.asarray(exponent, dtype=np.int64)) - 1
    threshold = (mask >> 1) + (a < 0)
    return (a >> exponent) + ((a & mask) > threshold)


def requantize(
    a: IntArray, multiplier: IntArray | int, shift: IntArray | int
) -> npt.NDArray[np.int64]:
    """MultiplyByQuantizedMultiplier: both roundings; operands broadcast."""
    shift = np.asarray(shift, dtype=np.int64)
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    return divide_by_pot(high_mul(wrap32(a.astype(np.int64) << left), multiplier), right)
