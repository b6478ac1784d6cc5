"""`tinyseal merge`: everything a board needs in one file."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.box import SIMPLE
from rich.table import Table

from tinyseal.build.firmware import DEFAULT_BOARD
from tinyseal.cli.boards import named_board
from tinyseal.cli.output import JsonOption, console, print_json
from tinyseal.errors import UsageError
from tinyseal.package.files import read_file, write_file
from tinyseal.package.merge import Part, place, read_binary, room_of_bootloader, to_bin, to_hex
from tinyseal.package.release import check_release

BoardOption = typer.Option(DEFAULT_BOARD, "--board", "-b", help="The board it is for.")
BootloaderOption = typer.Option(None, "--bootloader", help="Bootloader, .bin or .hex.")
AppOption = typer.Option(None, "--app", help="Signed application for slot a.")
AppBOption = typer.Option(None, "--app-b", help="Signed application for slot b.")
CapsuleOption = typer.Option(None, "--capsule", help="Signed capsule for slot a.")
CapsuleBOption = typer.Option(None, "--capsule-b", help="Signed capsule for slot b.")
StorageOption = typer.Option(None, "--storage", help="Storage, from tinyseal provision.")
CounterOption = typer.Option(None, "--counter", help="Counters, from tinyseal provision.")
ReleaseOption = typer.Option(False, "--release", help="Refuse development keys.")
OutOption = typer.Option(..., "--out", "-o", help=".hex or .bin to write; may be given twice.")


def merge(
    board: str = BoardOption,
    bootloader: Path | None = BootloaderOption,
    app_a: Path | None = AppOption,
    app_b: Path | None = AppBOption,
    capsule_a: Path | None = CapsuleOption,
    capsule_b: Path | None = CapsuleBOption,
    storage: Path | None = StorageOption,
    counter: Path | None = CounterOption,
    release: bool = ReleaseOption,
    out: list[Path] = OutOption,
    as_json: bool = JsonOption,
) -> None:
    """One file with bootloader, images and provisioned flash, each at its address."""
    profile = named_board(board)
    for path in out:
        if path.suffix.lower() not in (".hex", ".bin"):
            raise UsageError(f"{path}: the file written is a .hex or a .bin; give it that suffix")
    images = {
        ("app", "a"): app_a,
        ("app", "b"): app_b,
        ("capsule", "a"): capsule_a,
        ("capsule", "b"): capsule_b,
    }
    given = {where: read_file(path) for where, path in images.items() if path}
    boot = read_binary(bootloader, room_of_bootloader(profile).address) if bootloader else None
    if release:
        check_release((), {str(images[where]): data for where, data in given.items()}, boot)
    parts = place(
        profile,
        boot,
        given,
        read_file(storage) if storage else None,
        read_file(counter) if counter else None,
    )
    for path in out:
        data = to_hex(parts) if path.suffix.lower() == ".hex" else to_bin(parts)
        write_file(path, data, private=storage is not None)  # secret keys are in it then
    if as_json:
        print_json([part.to_json() for part in parts])
    else:
        console.print(parts_table(parts))


def parts_table(parts: list[Part]) -> Table:
    """What lies where."""
    table = Table("part", "in", box=SIMPLE, pad_edge=False)
    for name in ("from", "to", "bytes", "of", "used"):
        table.add_column(name, justify="right", no_wrap=True)
    for part in parts:
        table.add_row(
            part.name,
            part.room.name,
            f"0x{part.address:08x}",
            f"0x{part.end:08x}",
            f"{len(part.data):,}",
            f"{part.room.bytes:,}",
            f"{len(part.data) / part.room.bytes:.0%}",
        )
    return table
