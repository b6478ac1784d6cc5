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
    """High half of 2ab, half up (SaturatingRoundingDoublingHighMul).

    gemmlowp nudges by the product's sign, then divides towards zero: the same as one floor.
    """
    product = a.astype(np.int64) * np.asarray(b, dtype=np.int64)
    return np.asarray(np.minimum((product + (1 << 30)) >> 31, S32_MAX))


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


def requantize_s8(
    acc: IntArray,
    multiplier: IntArray | int,
    shift: IntArray | int,
    offset: int,
    act_min: int,
    act_max: int,
) -> npt.NDArray[np.int8]:
    """The end of most int8 kernels: requantise, add the zero point (wrapping), clamp."""
    out = wrap32(requantize(acc, multiplier, shift) + offset)
    return np.clip(out, act_min, act_max).astype(np.int8)


def multiply_by_pot(a: IntArray, exponent: int) -> npt.NDArray[np.int64]:
    """a * 2**exponent, rounding or saturating (SaturatingRoundingMultiplyByPOT)."""
    if exponent < 0:
        return divide_by_pot(a, -exponent)
    return np.asarray(np.clip(a.astype(np.int64) << exponent, S32_MIN, S32_MAX))


# exp(-2**k) in Q0.31 for k from -2 to 4, as gemmlowp spells them.
_EXP_FACTORS: Final = {
    -2: 1672461947,
    -1: 1302514674,
    0: 790015084,
    1: 290630308,
    2: 39332535,
    3: 720401,
    4: 242,
}
_EXP_MINUS_EIGHTH: Final = 1895147668
_THIRD: Final = 715827883


def exp_on_negative_values(a: IntArray, integer_bits: int) -> npt.NDArray[np.int64]:
    """exp(a) in Q0.31 for a <= 0 in Q`integer_bits`; gemmlowp's function of that name.

    `integer_bits` is at most 5: more would need gemmlowp's clamp.
    """
    a = a.astype(np.int64)
    fraction_bits = 31 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    # a = modulo - remainder, modulo in [-1/4, 0) for the polynomial around -1/8.
    modulo = (a & (quarter - 1)) - quarter
    remainder = modulo - a
    x = multiply_by_pot(modulo, integer_bits) + (1 << 28)
    x2 = high_mul(x, x)
    x3, x4 = high_mul(x2, x), high_mul(x2, x2)
    tail = divide_by_pot(high_mul(divide_by_pot(x4, 2) + x3, _THIRD) + x2, 1)
    result = _EXP_MINUS_EIGHTH + high_mul(x + tail, _EXP_MINUS_EIGHTH)
    for exponent, factor in _EXP_FACTORS.items():
        if exponent < integer_bits:
            bit = (remainder >> (fraction_bits + exponent)) & 1
            result = np.where(bit, high_mul(result, factor), result)
    return np.where(a == 0, S32_MAX, result)


def _two_over_one_plus_x(a: IntArray) -> npt.NDArray[np.int64]:
    """2 / (1 + a) in Q2.29 for a in [0, 1) in Q0.31."""
    half_denominator = (a.astype(np.int64) + S32_MAX + 1) >> 1
    # Newton's steps in Q2.29 from the start 48/17 - 32/17 d.
    x = 1515870810 + high_mul(half_denominator, -1010580540)
    for _ in range(3):
        error = (1 << 29) - high_mul(half_denominator, x)
        x = x + multiply_by_pot(high_mul(x, error), 2)
    return x


def one_over_one_plus_x(a: IntArray) -> npt.NDArray[np.int64]:
    """1 / (1 + a) in Q0.31 for a in [0, 1) in Q0.31 (one_over_one_plus_x_for_x_in_0_1)."""
    return multiply_by_pot(_two_over_one_plus_x(a), 1)


def logistic(a: IntArray, integer_bits: int) -> npt.NDArray[np.int64]:
    """1 / (1 + exp(-a)) in Q0.31 for a in Q`integer_bits`, at most 5 (gemmlowp's logistic)."""
    a = a.astype(np.int64)
    positive = one_over_one_plus_x(exp_on_negative_values(-np.abs(a), integer_bits))
    return np.where(a == 0, 1 << 30, np.where(a > 0, positive, S32_MAX - positive))


def tanh(a: IntArray, integer_bits: int) -> npt.NDArray[np.int64]:
    """tanh(a) in Q0.31 for a in Q`integer_bits`, at most 4 (gemmlowp's tanh)."""
    a = a.astype(np.int64)
    # (1 - x) / (1 + x) for x = exp(-2 |a|); one more integer bit is the doubling.
    x = exp_on_negative_values(-np.abs(a), integer_bits + 1)
    size = multiply_by_pot(_two_over_one_plus_x(x) - (1 << 29), 2)
    return np.where(a == 0, 0, np.where(a > 0, size, -size))
