"""The module `tinyseal` of a MicroPython firmware; a native `.mpy` of a model has ABI, load()."""

from collections.abc import Callable
from typing import Protocol, TypedDict

ABI: int
"""Version of the interface between module and model."""

class Buffer(Protocol):
    """bytes, bytearray, memoryview, array.array."""

    def __len__(self) -> int: ...

class Tensor(TypedDict):
    name: str
    dtype: str
    """int8, int16, int32, int64, uint8, bool or float32"""
    shape: list[int]
    bytes: int
    scale: float
    """real = scale * (q - zero_point); 0 if not quantised"""
    zero_point: int

class Info(TypedDict):
    name: str
    model_id: bytes
    """SHA-256 of the source model"""
    abi: int
    kernels: str
    metered: bool
    arena_bytes: int
    macs: int
    inputs: list[Tensor]
    outputs: list[Tensor]
    labels: list[str]

class Latency(TypedDict):
    count: int
    last_us: int
    min_us: int
    max_us: int
    total_ms: int

class Model:
    def predict(self, *inputs: Buffer) -> bytes | list[bytes]:
        """One inference: the bytes of every input tensor, in order, give those of every output
        tensor; one alone comes without a list. ValueError: an input has another size. RuntimeError:
        not paid for."""

    def info(self) -> Info: ...
    def latency(self) -> Latency:
        """Time spent in predict() since load()."""

    def reset(self) -> None:
        """Puts a recurrent model's state to its start."""

    def self_test(self) -> bool:
        """Whether this firmware computes the model's own bytes. Takes one inference."""

    def on_charge(self, pay: Callable[[Model], bool] | None) -> None:
        """Called before every inference, which runs only if it returns true. A metered model needs
        one."""

    def on_predict(self, note: Callable[[Model, bytes | list[bytes], int], object] | None) -> None:
        """Called after every inference with its outputs and how many microseconds it took."""

def models() -> list[str]:
    """Names of the models in this firmware."""

def load(name: str = ...) -> Model:
    """A model with memory of its own; the first one without a name. ValueError, MemoryError."""

def verify(public_key: Buffer, message: Buffer, signature: Buffer) -> bool:
    """Whether `signature` (64 bytes, Ed25519) is that of `message` by `public_key` (32 bytes)."""
