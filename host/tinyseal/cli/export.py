"""`tinyseal export`: a model for other people's builds; one command a kind of build."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import typer

from tinyseal.build import micropython as micropython_build
from tinyseal.build import third_party
from tinyseal.build.export import KERNELS, library_files, plan_export, write_library, write_zip
from tinyseal.build.firmware import AUTO, DEFAULT_BOARD, DEFAULT_MODEL, ROOT, THIRD_PARTY, Request
from tinyseal.build.platformio import environment_of, pio_run
from tinyseal.cli.boards import named_board
from tinyseal.cli.goal import OptimiseOption, RamOption, ram_limit
from tinyseal.cli.keys import PassphraseEnvOption, PassphraseFileOption, passphrase_source
from tinyseal.cli.output import JsonOption, console, errors, print_json
from tinyseal.codegen.generate import Terms
from tinyseal.codegen.library import EXAMPLE, Kind, environments, library_name
from tinyseal.codegen.micropython import symbol
from tinyseal.errors import PlanError, UsageError
from tinyseal.graph.load import load_model
from tinyseal.package.keys import DEV_SIGN, Key, Use, load_private
from tinyseal.package.release import check_release
from tinyseal.package.sign import parse_version, sign_mpy
from tinyseal.plan.choose import kernel_set
from tinyseal.plan.goal import Goal, Optimise
from tinyseal.plan.kernels import KernelSet

OutArgument = typer.Argument(..., help="The folder to write; with arduino, a .zip file.")
ModelOption = typer.Option(DEFAULT_MODEL, "--model", "-m", help="A .tflite file.")
BoardOption = typer.Option(DEFAULT_BOARD, "--board", "-b", help="A board, or a profile's path.")
KernelsOption = typer.Option(
    KERNELS[0].value, "--kernels", help=f"{' or '.join(k.value for k in KERNELS)}."
)
_EXAMPLES: Final = """Examples:

tinyseal export platformio --model my.tflite --board esp32 lib/my_model

tinyseal export cmake --model my.tflite --board qemu-m4 --ram 24k my_model

tinyseal export arduino --model my.tflite my_model.zip

tinyseal export micropython --model my.tflite --board qemu-m3 --mpy armv7m modules
"""
_TITLES: Final = {
    Kind.PLATFORMIO: "A PlatformIO library, with an example.",
    Kind.ESPIDF: "An ESP-IDF component, with an example.",
    Kind.CMAKE: "A CMake package, with an example.",
    Kind.ARDUINO: "A library for Arduino's IDE, as a .zip file.",
}

app = typer.Typer(
    help="Write a model as source for other people's builds.",
    no_args_is_help=True,
    epilog=_EXAMPLES,
)


def platformio(request: Request) -> int:
    """`scons framework=`: the library and its example, built by PlatformIO."""
    wanted = environment_of(request.board, request.words["framework"])
    kernels = KERNELS[0] if request.kernels == AUTO else KernelSet(request.kernels)
    made = plan_export(load_model(ROOT / request.model), request.board, kernels, request.goal())
    folder = request.folder / "platformio"
    write_library(library_files(made, kernels, Kind.PLATFORMIO), ROOT / folder)
    pio_run(folder / EXAMPLE, wanted)
    console.print(f"built: {folder / EXAMPLE}/.pio/build/{wanted.name}", highlight=False)
    return 0


def _command(kind: Kind) -> Callable[..., None]:
    """The command of a kind: they differ in nothing that the user gives."""

    def command(
        out: Path = OutArgument,
        model: Path = ModelOption,
        board: str = BoardOption,
        kernels: str = KernelsOption,
        optimise: Optimise = OptimiseOption,
        ram: str | None = RamOption,
        as_json: bool = JsonOption,
    ) -> None:
        _export(kind, out, model, board, kernels, Goal(optimise, ram_limit(ram)), as_json)

    command.__doc__ = f"""{_TITLES[kind]}

    Any program can then call tinyseal_invoke(). OUT must be new, empty or an earlier export, whose
    files are then written anew.
    """
    return command


def _export(
    kind: Kind, out: Path, model: Path, board: str, kernels: str, goal: Goal, as_json: bool
) -> None:
    profile = named_board(board)
    if not model.is_file():
        raise UsageError(f"{model}: no such file")
    if (out.suffix.lower() == ".zip") != (kind is Kind.ARDUINO):
        raise UsageError(
            f"{out}: arduino writes a .zip file, the others a folder; give it such a name"
        )
    wanted = _kernel_set(kernels)
    made = plan_export(load_model(model), profile, wanted, goal)
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


def _kernel_set(name: str) -> KernelSet:
    try:
        return kernel_set(name) or KERNELS[0]
    except PlanError as e:
        raise UsageError(str(e)) from e


for _kind in Kind:
    app.command(_kind.value)(_command(_kind))


ModelsOption = typer.Option(
    [DEFAULT_MODEL], "--model", "-m", help="A .tflite file; again for several models."
)
MpyOption = typer.Option(
    [], "--mpy", help=f"Also a native .mpy for this: {', '.join(micropython_build.ARCHS)}."
)
SourceOption = typer.Option(
    None, "--micropython", help="MicroPython's source, for --mpy; else Debian's is fetched."
)
KeyOption = typer.Option(DEV_SIGN, "--key", "-k", help="Signs the .mpy files (Ed25519, PEM).")
VersionOption = typer.Option("0.0.0", "--version", help="Theirs: MAJOR.MINOR.REVISION+BUILD")
CounterOption = typer.Option(
    0, "--security-counter", min=0, max=2**32 - 1, help="Files with a lower one are refused later."
)
ReleaseOption = typer.Option(False, "--release", help="Refuse development keys.")
MeteredOption = typer.Option(False, "--metered", help="Inferences must be paid for: on_charge().")


@app.command()
def micropython(
    out: Path = OutArgument,
    models: list[Path] = ModelsOption,
    board: str = BoardOption,
    kernels: str = KernelsOption,
    optimise: Optimise = OptimiseOption,
    ram: str | None = RamOption,
    metered: bool = MeteredOption,
    mpy: list[str] = MpyOption,
    source: Path | None = SourceOption,
    key: Path = KeyOption,
    version: str = VersionOption,
    security_counter: int = CounterOption,
    release: bool = ReleaseOption,
    passphrase_file: Path | None = PassphraseFileOption,
    passphrase_env: str | None = PassphraseEnvOption,
    as_json: bool = JsonOption,
) -> None:
    """A user C module `tinyseal` for MicroPython, and native .mpy files for stock firmware.

    Beside each .mpy is a signed .img of it, for tinyseal_ota. OUT must be new, empty or an earlier
    export, whose files are then written anew.
    """
    profile = named_board(board)
    wanted = _kernel_set(kernels)
    archs = [micropython_build.arch_for(name, profile) for name in dict.fromkeys(mpy)]
    for model in models:
        if not model.is_file():
            raise UsageError(f"{model}: no such file")
    goal = Goal(optimise, ram_limit(ram))
    plans = [plan_export(load_model(model), profile, wanted, goal) for model in models]
    if len({symbol(made) for made in plans}) < len(plans):
        raise UsageError("two models of one name; rename a file")
    terms = Terms(is_metered=metered)
    top = third_party.micropython(ROOT / THIRD_PARTY, source) if archs else Path()
    signing: Key | None = None
    if archs:
        signing = load_private(key, Use.SIGN, passphrase_source(passphrase_file, passphrase_env))
        if release:
            check_release([signing])
    numbers = parse_version(version)
    natives: dict[str, bytes] = {}
    for arch in archs:
        for made in plans:
            at = f"mpy/{arch.name}/{made.graph.name}"
            data = micropython_build.build_native(made, wanted.value, terms, arch, top)
            natives[f"{at}.mpy"] = data
            assert signing is not None
            natives[f"{at}.img"] = sign_mpy(
                data, made.graph.name, numbers, security_counter, signing
            )
    files = micropython_build.module_files(plans, wanted.value, terms, list(natives)) | natives
    write_library(files, out, micropython_build.MARK)
    if as_json:
        print_json(
            {
                "models": [made.graph.name for made in plans],
                "out": str(out),
                "board": profile.name,
                "files": list(files),
                "mpy": {path: len(data) for path, data in natives.items()},
            }
        )
        return
    console.print(
        f"{out}: {', '.join(made.graph.name for made in plans)} for {profile.name}, {len(files)} "
        f"files; make -C ports/PORT USER_C_MODULES={out.resolve()}",
        highlight=False,
        soft_wrap=True,
    )
    if signing is not None and signing.is_development:
        errors.print("signed with the development key, which anybody has", style="yellow")
    for path, data in natives.items():
        console.print(f"{out}/{path}: {len(data):,} B", highlight=False, soft_wrap=True)
