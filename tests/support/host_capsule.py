"""Generated C, compiled for this machine and called through ctypes: the device's kernels, here."""

from __future__ import annotations

import ctypes
import functools
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyseal.build.firmware import CMSIS_NN_FLAGS, ROOT, THIRD_PARTY
from tinyseal.build.third_party import cmsis_nn
from tinyseal.codegen.generate import generate_capsule
from tinyseal.plan.kernels.cmsis_nn import FUNCTIONS
from tinyseal.plan.model import Plan

RUNTIME = Path(__file__).resolve().parents[2] / "firmware" / "runtime"
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wmissing-prototypes", "-Werror"]
SANITIZE = ["-fsanitize=undefined", "-fno-sanitize-recover=all"]
GUARD = 0xA5  # fills the arena, and the bytes around it


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("bytes", ctypes.c_uint32),
        ("region", ctypes.c_uint16),
        ("rank", ctypes.c_uint16),
        ("offset", ctypes.c_uint32),
        ("dims", ctypes.c_uint32 * 6),
        ("dtype", ctypes.c_int),
        ("scale", ctypes.c_float),
        ("zero_point", ctypes.c_int32),
    ]


class _Memory(ctypes.Structure):
    _fields_ = [("region", ctypes.c_void_p * 2), ("between", ctypes.c_void_p)]


class _Capsule(ctypes.Structure):
    _fields_ = [
        ("magic", ctypes.c_uint32),
        ("abi", ctypes.c_uint32),
        ("name", ctypes.c_char_p),
        ("kernels", ctypes.c_char_p),
        ("model_id", ctypes.c_uint8 * 32),
        ("family", ctypes.c_uint8 * 32),
        ("policy", ctypes.c_uint32),
        ("arena_bytes", ctypes.c_uint32 * 2),
        ("state_bytes", ctypes.c_uint32 * 2),
        ("input_count", ctypes.c_uint16),
        ("output_count", ctypes.c_uint16),
        ("label_count", ctypes.c_uint16),
        ("layer_count", ctypes.c_uint16),
        ("inputs", ctypes.POINTER(_Tensor)),
        ("outputs", ctypes.POINTER(_Tensor)),
        ("labels", ctypes.c_void_p),
        ("layers", ctypes.POINTER(ctypes.c_char_p)),
        ("macs", ctypes.c_uint32),
        ("test_seed", ctypes.c_uint32),
        ("test_crc", ctypes.c_uint32),
        ("reference", ctypes.c_void_p),
        ("reset", ctypes.CFUNCTYPE(None, ctypes.POINTER(_Memory))),
        ("invoke", ctypes.CFUNCTYPE(None, ctypes.POINTER(_Memory))),
    ]


def _gcc(*arguments: str) -> None:
    includes = [f"-I{RUNTIME}", f"-I{RUNTIME / 'kernels'}"]
    command = ["gcc", "-std=c11", "-fPIC", *WARNINGS, *SANITIZE, *includes, *arguments]
    subprocess.run(command, check=True)


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


@functools.cache
def _kernels(optimise: str) -> tuple[str, ...]:
    """Object files of every portable kernel, compiled once a session."""
    folder = Path(tempfile.mkdtemp(dir=_folder().name))
    sources = sorted((RUNTIME / "kernels").glob("*.c"))
    objects = tuple(str(folder / f"{source.stem}.o") for source in sources)
    for source, target in zip(sources, objects, strict=True):
        _gcc(optimise, "-c", str(source), "-o", target)
    return objects


@functools.cache
def cmsis_nn_arguments() -> tuple[str, ...]:
    """What a capsule with CMSIS-NN's kernels is compiled with: its path for plain C."""
    library = cmsis_nn(ROOT / THIRD_PARTY)
    folder = Path(tempfile.mkdtemp(dir=_folder().name))
    # The name under which its headers leave out what only Arm's compilers know.
    system = (
        "-D__GNUC_PYTHON__",
        "-D__RESTRICT=__restrict__",
        *(f"-isystem{path}" for path in library.include_dirs),
    )
    objects = []
    for source in library.sources_of(FUNCTIONS):
        objects.append(str(folder / f"{source.stem}.o"))
        flags = ("-fPIC", "-O1", *CMSIS_NN_FLAGS, *system)
        subprocess.run(["gcc", *flags, "-c", str(source), "-o", objects[-1]], check=True)
    for source in sorted((RUNTIME / "cmsis_nn").glob("*.c")):
        objects.append(str(folder / f"{source.stem}.o"))
        _gcc("-O1", *system, "-c", str(source), "-o", objects[-1])
    return (*objects, *system)


class HostCapsule:
    """The capsule of `plan`, built in `folder` and loaded into this process."""

    def __init__(
        self, plan: Plan, folder: Path, optimise: str = "-O1", extra: Sequence[str] = ()
    ) -> None:
        self._plan = plan
        # A name of its own: the loader gives the old library for a path it knows.
        build = Path(tempfile.mkdtemp(dir=folder))
        source, library = build / "capsule.c", build / "capsule.so"
        source.write_text(generate_capsule(plan))
        kernels = _kernels(optimise)
        _gcc(optimise, "-shared", str(source), *kernels, *extra, "-lm", "-o", str(library))
        self._capsule = _Capsule.in_dll(ctypes.CDLL(str(library)), "capsule_table")
        self._memory = _Memory()
        self._arenas: list[npt.NDArray[np.uint8]] = []
        self._raw: list[npt.NDArray[np.uint8]] = []
        for region in range(2):
            size = self._capsule.arena_bytes[region]
            raw = np.full(size + 64, GUARD, dtype=np.uint8)
            start = -raw.ctypes.data % 16
            self._arenas.append(raw[start : start + size])
            self._memory.region[region] = raw.ctypes.data + start
            self._raw.append(raw)  # keeps the memory alive
        self.reset()

    def reset(self) -> None:
        self._capsule.reset(self._memory)

    def invoke(self, inputs: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        graph, capsule = self._plan.graph, self._capsule
        for i, value in enumerate(inputs):
            self._bytes(capsule.inputs[i])[:] = np.ascontiguousarray(value).view(np.uint8).ravel()
        capsule.invoke(self._memory)
        for arena, raw in zip(self._arenas, self._raw, strict=True):
            start = arena.ctypes.data - raw.ctypes.data
            beyond = np.concatenate([raw[:start], raw[start + arena.size :]])
            assert (beyond == GUARD).all(), "a kernel wrote outside its arena"
        outputs = []
        for i, index in enumerate(graph.outputs):
            tensor = graph.tensor(index)
            raw = self._bytes(capsule.outputs[i]).copy()
            outputs.append(raw.view(tensor.dtype.value).reshape(tensor.shape))
        return outputs

    def tensor(self, index: int) -> npt.NDArray[Any]:
        """What lies in tensor `index`'s memory now: its value, in a plan made with reuse=False."""
        tensor, at = self._plan.graph.tensor(index), self._plan.buffers[index]
        raw = self._arenas[at.region][at.offset : at.offset + at.bytes].copy()
        return raw.view(tensor.dtype.value).reshape(tensor.shape)

    def _bytes(self, tensor: _Tensor) -> npt.NDArray[np.uint8]:
        return self._arenas[tensor.region][tensor.offset : tensor.offset + tensor.bytes]
