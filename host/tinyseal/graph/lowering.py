"""What every operator becomes: kernel parameters, shared by the numpy reference and the C code.

An operator module (`graph/ops/*.py`) turns one Op into a `Lowered`: a `Params` dataclass whose
fields mirror the C kernel's struct, and the tensors the kernel reads and writes. `Params.run` is
the reference; the C kernel given the same parameters must give the same bytes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyseal.graph.ir import Graph, Op

Array = npt.NDArray[Any]


class Params(ABC):
    """Parameters of one kernel call."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one call; 0 where the term does not apply."""
        return 0

    @abstractmethod
    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        """Outputs for `inputs`, bit-exact with TFLM; updates the `state` arrays in place."""


@dataclass(frozen=True)
class Alias(Params):
    """The output is the input's bytes under another shape (RESHAPE and kin)."""

    shape: tuple[int, ...]

    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        return [np.reshape(inputs[0], self.shape)]


@dataclass(frozen=True, eq=False)
class Lowered:
    """One Op, ready to run."""

    op: Op
    params: Params
    inputs: tuple[int, ...]  # tensors read, in the order the kernel takes them; may be constants
    outputs: tuple[int, ...]
    state: tuple[int, ...] = ()  # variable tensors, read and written


Lowering = Callable[[Graph, Op], Lowered]
