"""The numpy reference interpreter: bit-exact with TensorFlow Lite Micro, judge of every kernel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinyseal.graph.ir import Graph, Tensor
from tinyseal.graph.lowering import Array
from tinyseal.graph.ops import lower


class Interpreter:
    """Runs a Graph; state tensors (SVDF, LSTM) live from one `invoke` to the next."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._steps = [lower(graph, op) for op in graph.ops]
        self._state: dict[int, Array] = {}
        self.reset()

    def reset(self) -> None:
        """Puts every state tensor at its zero point."""
        self._state = {
            t.index: np.full(t.shape, _zero(t), dtype=t.dtype.value)
            for t in self._graph.tensors
            if t.is_variable
        }

    def invoke(self, inputs: Sequence[Array]) -> list[Array]:
        """The model's outputs, in the order of `graph.outputs`."""
        values = self.invoke_all(inputs)
        return [values[index] for index in self._graph.outputs]

    def invoke_all(self, inputs: Sequence[Array]) -> dict[int, Array]:
        """Every tensor's value by index, inner ones included."""
        values = {t.index: t.data for t in self._graph.tensors if t.data is not None}
        for index, value in zip(self._graph.inputs, inputs, strict=True):
            tensor = self._graph.tensor(index)
            values[index] = np.asarray(value, dtype=tensor.dtype.value).reshape(tensor.shape)
        for step in self._steps:
            results = step.params.run(
                [values[i] for i in step.inputs], [self._state[i] for i in step.state]
            )
            values.update(zip(step.outputs, results, strict=True))
        return values


def _zero(tensor: Tensor) -> int:
    return tensor.quant.zero_point if tensor.quant else 0
