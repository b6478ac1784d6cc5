"""Post-training quantisation to int8, in TFLite's conventions.

Activations: per tensor, asymmetric, the range holds 0. Weights: per output channel, symmetric,
in [-127, 127]. Biases: int32 in units of input scale times weight scale.
Source: Jacob et al., Quantization and Training of Neural Networks (2018); TFLite's quantisation
specification.
"""

from __future__ import annotations

import numpy as np

from tinyseal.graph.ir import Quant
from tinyseal.graph.lowering import Array


def activation_quant(low: float, high: float) -> Quant:
    """The int8 scale and zero point of values in [low, high]."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32((high - low) / 255 or 1.0)
    zero_point = round(-128 - low / float(scale))
    return Quant((float(scale),), (int(np.clip(zero_point, -128, 127)),))


def weight_quant(weights: Array, bias: Array, in_scale: float) -> tuple[Array, Array, Quant]:
    """int8 weights [out, ...], int32 bias [out], and the weights' scales, one an output channel.

    A channel's scale is raised where its bias would not fit 30 bits.
    """
    flat = np.abs(weights.reshape(len(weights), -1)).max(axis=1)
    scales = np.maximum(flat / 127, np.abs(bias) / in_scale / 2.0**30)
    scales = np.where(scales > 0, scales, 1.0).astype(np.float32)
    column = scales.astype(np.float64).reshape(-1, *[1] * (weights.ndim - 1))
    quantised = np.clip(np.round(weights / column), -127, 127).astype(np.int8)
    units = np.round(bias / (in_scale * scales.astype(np.float64)))
    quant = Quant(tuple(scales.tolist()), (0,) * len(scales), 0)
    return quantised, units.astype(np.int32), quant
