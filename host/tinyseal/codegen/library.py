"""Plan -> the texts of a library for other people's builds: PlatformIO, ESP-IDF, CMake, Arduino."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tinyseal.board import Board
from tinyseal.codegen.emission import C_TYPES
from tinyseal.codegen.generate import emit_layers, generate_capsule, per_region
from tinyseal.codegen.templates import render
from tinyseal.graph.ir import DType, Tensor
from tinyseal.plan.model import Plan


class Kind(enum.Enum):
    """Whose build the library is for."""

    PLATFORMIO = "platformio"
    ESPIDF = "espidf"
    CMAKE = "cmake"
    ARDUINO = "arduino"


@dataclass(frozen=True)
class Environment:
    """One [env:...] of platformio.ini. A plain one is for the machine that builds."""

    name: str
    source: str
    platform: str = "native"
    board: str = ""
    framework: str = ""


EXAMPLE: Final = "examples/classify"
PLAIN: Final = Environment("plain", "main_plain.c")
SOURCES: Final = {
    "arduino": "main_arduino.cpp",
    "espidf": "main_espidf.c",
    "zephyr": "main_zephyr.c",
}


def library_name(plan: Plan) -> str:
    return "tinyseal_" + re.sub(r"\W", "_", plan.graph.name, flags=re.ASCII).lower()


def environments(board: Board) -> list[Environment]:
    """One for each framework that the board's profile names, and the plain one."""
    own = board.platformio
    if own is None:
        return [PLAIN]
    made = [Environment(f, SOURCES[f], own.platform, own.board, f) for f in own.frameworks]
    return [*made, PLAIN]


def generate_model_sources(plan: Plan, kernels: str) -> dict[str, str]:
    """`capsule.c` and `tinyseal_model.h`, of which each kind of library has the same."""
    return {
        "capsule.c": generate_capsule(plan, kernels, is_image=False),
        "tinyseal_model.h": render(
            "export/tinyseal_model.h",
            graph=plan.graph,
            board=plan.board,
            arena_bytes=per_region(plan.arena_bytes),
            sides=(
                ("INPUT", _tensors(plan, plan.graph.inputs)),
                ("OUTPUT", _tensors(plan, plan.graph.outputs)),
            ),
        ),
    }


def generate_library(plan: Plan, kind: Kind, sources: Sequence[str]) -> dict[str, str]:
    """What lies around the sources: manifests, an example and README.md, by path. `sources` are
    the C files of src/."""
    name = library_name(plan)
    inputs = _tensors(plan, plan.graph.inputs)
    values = {
        "name": name,
        "description": f"{plan.graph.name}: a neural network as C, by tinyseal",
        "sources": sources,
        "inputs": inputs,
        "outputs": _tensors(plan, plan.graph.outputs),
        "real_inputs": [i for i, t in enumerate(inputs) if t["is_real"]],
    }
    readme = render(
        "export/README.md",
        **values,
        kind=kind.value,
        graph=plan.graph,
        board=plan.board,
        arena_bytes=plan.arena_bytes,
        constant_bytes=sum(layer.constant_bytes for layer in emit_layers(plan)),
        macs=plan.macs,
        usage=_USAGE[kind].format(name=name),
    )
    return {"README.md": readme, **_AROUND[kind](plan.board, values)}


def _platformio(board: Board, values: dict[str, Any]) -> dict[str, str]:
    wanted = environments(board)
    files = {
        f"{EXAMPLE}/platformio.ini": render("export/platformio.ini", environments=wanted),
        **{f"{EXAMPLE}/src/{e.source}": render(f"export/{e.source}", **values) for e in wanted},
    }
    frameworks = {e.framework for e in wanted}
    if "espidf" in frameworks:
        files[f"{EXAMPLE}/CMakeLists.txt"] = render("export/espidf_project.cmake", component=None)
        files[f"{EXAMPLE}/src/CMakeLists.txt"] = render(
            "export/espidf_main.cmake", source=SOURCES["espidf"]
        )
    if "zephyr" in frameworks:
        files[f"{EXAMPLE}/zephyr/CMakeLists.txt"] = render("export/pio_zephyr.cmake")
        files[f"{EXAMPLE}/zephyr/prj.conf"] = render("export/pio_zephyr.conf")
    listed = [path.removeprefix(f"{EXAMPLE}/") for path in files]
    return {"library.json": render("export/library.json", **values, example_files=listed), **files}


def _espidf(board: Board, values: dict[str, Any]) -> dict[str, str]:
    return {
        "CMakeLists.txt": render("export/espidf_component.cmake", **values),
        "idf_component.yml": render("export/idf_component.yml", **values),
        f"{EXAMPLE}/CMakeLists.txt": render("export/espidf_project.cmake", component="../.."),
        f"{EXAMPLE}/main/CMakeLists.txt": render("export/espidf_main.cmake", source="main.c"),
        f"{EXAMPLE}/main/main.c": render("export/main_espidf.c", **values),
    }


def _cmake(board: Board, values: dict[str, Any]) -> dict[str, str]:
    return {
        "CMakeLists.txt": render("export/CMakeLists.txt", **values),
        f"{EXAMPLE}/main.c": render("export/main_plain.c", **values),
    }


def _arduino(board: Board, values: dict[str, Any]) -> dict[str, str]:
    return {
        "library.properties": render("export/library.properties", **values),
        f"{EXAMPLE}/classify.ino": render("export/main_arduino.cpp", **values),
    }


_AROUND: Final[dict[Kind, Callable[[Board, dict[str, Any]], dict[str, str]]]] = {
    Kind.PLATFORMIO: _platformio,
    Kind.ESPIDF: _espidf,
    Kind.CMAKE: _cmake,
    Kind.ARDUINO: _arduino,
}
_USAGE: Final = {
    Kind.PLATFORMIO: "In a project of yours: `lib_deps = symlink://PATH` in platformio.ini, or put "
    "this folder into `lib/`.\n`pio run -d examples/classify` builds the example.",
    Kind.ESPIDF: "In a project of yours: put this folder into `components/`. The example: "
    "`idf.py -C examples/classify build`.",
    Kind.CMAKE: "In a project of yours: `add_subdirectory(PATH)`, or install it and\n"
    "`find_package({name})`; then `target_link_libraries(app PRIVATE tinyseal::tinyseal)`. The\n"
    "example: `cmake -B build && cmake --build build && build/classify < INPUT > OUTPUT`.",
    Kind.ARDUINO: "In the IDE: Sketch, Include Library, Add .ZIP Library; the example is under "
    "File, Examples.",
}


def _tensors(plan: Plan, indices: Sequence[int]) -> list[dict[str, Any]]:
    return [_tensor(plan.graph.tensor(i)) for i in indices]


def _tensor(tensor: Tensor) -> dict[str, Any]:
    return {
        "ctype": C_TYPES[tensor.dtype.value],
        "elements": tensor.elements,
        "bytes": tensor.bytes,
        "scale": tensor.quant.scale if tensor.quant else 0.0,
        "zero_point": tensor.quant.zero_point if tensor.quant else 0,
        "is_real": tensor.dtype in (DType.S8, DType.F32),  # what tinyseal_quantize() takes
    }
