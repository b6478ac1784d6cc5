"""`tinyseal export`: a model as a library for PlatformIO, ESP-IDF, CMake or Arduino."""

from __future__ import annotations

from pathlib import Path

import typer

from tinyseal.build.export import KERNELS, library_files, plan_export, write_library, write_zip
from tinyseal.build.firmware import AUTO, DEFAULT_BOARD, DEFAULT_MODEL, ROOT, Request
from tinyseal.build.platformio import environment_of, pio_run
from tinyseal.cli.boards import named_board
from tinyseal.cli.output import JsonOption, console, print_json
from tinyseal.codegen.library import EXAMPLE, Kind, environments, library_name
from tinyseal.errors import PlanError, UsageError
from tinyseal.graph.load import load_model
from tinyseal.plan.choose import kernel_set
from tinyseal.plan.kernels import KernelSet

KindArgument = typer.Argument(..., help="Whose build it is for.")
OutArgument = typer.Argument(..., help="The folder to write; with arduino, a .zip file.")
ModelOption = typer.Option(DEFAULT_MODEL, "--model", "-m", help="A .tflite file.")
BoardOption = typer.Option(DEFAULT_BOARD, "--board", "-b", help="A board, or a profile's path.")
KernelsOption = typer.Option(
    KERNELS[0].value, "--kernels", help=f"{' or '.join(k.value for k in KERNELS)}."
)
EXAMPLES = """Examples:

tinyseal export platformio --model my.tflite --board esp32 lib/my_model

tinyseal export cmake --model my.tflite --board qemu-m4 my_model

tinyseal export arduino --model my.tflite my_model.zip
"""


def platformio(request: Request) -> int:
    """`scons framework=`: the library and its example, built by PlatformIO."""
    wanted = environment_of(request.board, request.words["framework"])
    kernels = KERNELS[0] if request.kernels == AUTO else KernelSet(request.kernels)
    made = plan_export(load_model(ROOT / request.model), request.board, kernels)
    folder = request.folder / "platformio"
    write_library(library_files(made, kernels, Kind.PLATFORMIO), ROOT / folder)
    pio_run(folder / EXAMPLE, wanted)
    console.print(f"built: {folder / EXAMPLE}/.pio/build/{wanted.name}", highlight=False)
    return 0


def export(
    kind: Kind = KindArgument,
    out: Path = OutArgument,
    model: Path = ModelOption,
    board: str = BoardOption,
    kernels: str = KernelsOption,
    as_json: bool = JsonOption,
) -> None:
    """Write the model as a C library that any program can call: tinyseal_invoke().

    OUT must be new, empty or an earlier export, whose files are then written anew.
    """
    profile = named_board(board)
    if not model.is_file():
        raise UsageError(f"{model}: no such file")
    if (out.suffix.lower() == ".zip") != (kind is Kind.ARDUINO):
        raise UsageError(
            f"{out}: arduino writes a .zip file, the others a folder; give it such a name"
        )
    try:
        wanted = kernel_set(kernels)
    except PlanError as e:
        raise UsageError(str(e)) from e
    wanted = wanted or KERNELS[0]
    made = plan_export(load_model(model), profile, wanted)
    files = library_files(made, wanted, kind)
    if kind is Kind.ARDUINO:
        write_zip(made, files, out)
    else:
        write_library(files, out)
    named = [e.name for e in environments(profile)] if kind is Kind.PLATFORMIO else []
    if as_json:
        print_json(
            {
                "library": library_name(made),
                "out": str(out),
                "board": profile.name,
                "arena_bytes": list(made.arena_bytes),
                "files": list(files),
                "environments": named,
            }
        )
        return
    told = f"; environments: {', '.join(named)}" if named else ""
    console.print(
        f"{out}: {library_name(made)} for {profile.name}, {len(files)} files, "
        f"arena {sum(made.arena_bytes):,} B{told}",
        highlight=False,
        soft_wrap=True,
    )
    if kind is Kind.PLATFORMIO and profile.platformio is None:
        console.print(
            f"{profile.name} has no \\[platformio]: PlatformIO has no such board, or its profile "
            "does not say which; the example is for this machine",
            style="dim",
            highlight=False,
            soft_wrap=True,
        )
