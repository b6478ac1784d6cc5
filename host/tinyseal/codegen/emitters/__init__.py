"""One emitter per C kernel: parameters in, C constants and a call out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tinyseal.codegen.emission import Emission
from tinyseal.codegen.emitters import (
    cmsis_nn,
    copy,
    mve,
    reference_binary,
    reference_dense,
    reference_elementwise,
    reference_movement,
    reference_recurrent,
    reference_reduce,
    scalar,
    scale,
    stream,
    sums,
    tuned,
)

_OF_LAYERS: Final[dict[str, Callable[[Emission], None]]] = {
    **cmsis_nn.EMITTERS,
    **tuned.EMITTERS,
    **scalar.EMITTERS,
    **mve.EMITTERS,
    **scale.EMITTERS,
    **sums.EMITTERS,
    **copy.EMITTERS,
    **reference_dense.EMITTERS,
    **reference_elementwise.EMITTERS,
    **reference_recurrent.EMITTERS,
    **reference_reduce.EMITTERS,
    **reference_binary.EMITTERS,
    **reference_movement.EMITTERS,
}
EMITTERS: Final = {**_OF_LAYERS, "stream": stream.emitter(_OF_LAYERS)}
