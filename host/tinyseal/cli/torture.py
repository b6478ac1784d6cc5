"""`tinyseal torture`: what is meant to survive anything, made to prove it."""

from __future__ import annotations

from typing import Final

import typer

from tinyseal.cli.lazy import Entry, lazy_group

COMMANDS: Final = {
    "power": Entry("torture_power:power", "The power cut at every flash operation."),
    "kill": Entry("torture_kill:kill", "Virtual boards killed while they write to flash."),
    "faults": Entry("torture_faults:faults", "Glitches in the bootloader, with bad images."),
    "fuzz": Entry("torture_fuzz:fuzz", "Hostile bytes for every parser of the firmware."),
    "link": Entry("torture_link:link", "Updates over lines that lose, spoil and cut."),
    "meter": Entry("torture_meter:meter", "Prepaid queries with the power cut anywhere."),
    "kernels": Entry("torture_kernels:kernels", "Random layers against the reference."),
    "import": Entry("torture_import:torture_import", "Damaged models for the importer."),
}

app = typer.Typer(
    cls=lazy_group(COMMANDS),
    no_args_is_help=True,
    help="Cuts, faults and damaged inputs by the thousand; none may do harm.",
)


@app.callback()
def torture() -> None:
    """What is meant to survive anything, made to prove it."""
