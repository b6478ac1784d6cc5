"""`tinyseal inspect`: what an image says, and what of it is proven."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import typer
from rich.table import Table
from rich.text import Text

from tinyseal.cli.drawing import size_text
from tinyseal.cli.keys import PassphraseEnvOption, PassphraseFileOption, passphrase_source
from tinyseal.cli.output import JsonOption, console, print_json
from tinyseal.errors import ImageError
from tinyseal.package.keys import DEV_SIGN, DEV_SIGN_P256, Key, Use, load_key, load_private
from tinyseal.package.mcuboot import (
    DEPENDENCY,
    MPY_MODEL,
    SIZES,
    Entry,
    Flag,
    Header,
    Image,
    Tlv,
    Version,
    read_image,
)
from tinyseal.package.merge import read_binary
from tinyseal.package.mpy import Mpy, read_mpy
from tinyseal.package.sign import IMAGE_NUMBERS, VENDOR, VENDOR_UUID, recognise_class
from tinyseal.package.verify import Judgement, Outcome, Region, is_development, judge, regions

MAP_ROWS: Final = 12  # of the drawing; every region gets one at least
MAP_WIDTH: Final = 26
STYLES: Final = {True: "black on green", False: "black on yellow"}

ImageArgument = typer.Argument(..., help="An image, .bin or .hex, padded or not.")
KeyOption = typer.Option(
    None, "--key", "-k", help="Verify the signature with this key (PEM, public or private)."
)
DecryptOption = typer.Option(
    None, "--decrypt", help="Open an encrypted image with this private key (X25519, PEM)."
)


def inspect(
    image: Path = ImageArgument,
    key: Path | None = KeyOption,
    decrypt: Path | None = DecryptOption,
    passphrase_file: Path | None = PassphraseFileOption,
    passphrase_env: str | None = PassphraseEnvOption,
    as_json: bool = JsonOption,
) -> None:
    """Show every field of an image, and verify it. Exit code 1 if anything is wrong with it.

    Without --key, an image signed with the development key is verified with that.
    """
    source = passphrase_source(passphrase_file, passphrase_env)
    read = read_image(read_binary(image))
    signing = load_key(key, Use.SIGN_IMAGES, source) if key else _development_key(read)
    opening = load_private(decrypt, Use.ENCRYPT, source) if decrypt else None
    trouble = [str(p) for p in read.problems]
    try:
        verdict = judge(read, signing, opening)
    except ImageError as e:
        trouble.append(str(e))
        verdict = judge(read, signing)
    if as_json:
        print_json(_facts(image, read, verdict, trouble))
    else:
        _show(image, read, verdict, trouble)
    if trouble or not verdict.good:
        raise typer.Exit(1)


def _development_key(image: Image) -> Key | None:
    keys = [load_key(path) for path in (DEV_SIGN, DEV_SIGN_P256) if path.is_file()]
    return next((key for key in keys if key.hash == image.value(Tlv.KEYHASH)), None)


def _facts(path: Path, image: Image, verdict: Judgement, trouble: list[str]) -> dict[str, Any]:
    h = image.header
    counter = image.value(Tlv.SEC_CNT)
    return {
        "file": str(path),
        "bytes": len(image.data),
        "good": verdict.good and not trouble,
        "problems": trouble,
        "header": h
        and {
            "load_address": h.load_address,
            "header_bytes": h.header_bytes,
            "protected_tlv_bytes": h.protected_bytes,
            "image_bytes": h.image_bytes,
            "flags": h.flags,
            "flag_names": _flag_names(h.flags),
            "version": str(h.version),
        },
        "tlvs": [
            {
                "type": e.type,
                "name": e.name,
                "offset": e.offset,
                "protected": e.protected,
                "value": e.value.hex(),
                "meaning": _meaning(e, image),
            }
            for e in image.entries
        ],
        "security_counter": None if counter is None else int.from_bytes(counter, "little"),
        "dependencies": [_dependency(e) for e in image.all(Tlv.DEPENDENCY) if _is_sized(e)],
        "key_hash": (image.value(Tlv.KEYHASH) or b"").hex() or None,
        "development_key": is_development(image),
        "hash": verdict.hash.value,
        "signature": verdict.signature.value,
        "not_checked": verdict.reason or None,
        "signed_bytes": image.signed_bytes,
        "map": [vars(r) for r in regions(image)],
        "mpy": (mpy := _mpy(image)) and vars(mpy),
        "trailer": image.trailer and vars(image.trailer),
    }


def _show(path: Path, image: Image, verdict: Judgement, trouble: list[str]) -> None:
    h = image.header
    if h is not None:
        console.print(f"[bold]{path.name}[/]: version {h.version}, {len(image.data):,} B")
        table = Table("header", "value", show_edge=False, pad_edge=False)
        for name, value in (
            ("flags", ", ".join(_flag_names(h.flags)) or "none"),
            (
                "runs at",
                _where(h),
            ),
            ("header", f"{h.header_bytes} B"),
            ("payload", f"{h.image_bytes:,} B{_mpy_text(image)}"),
            ("protected TLVs", f"{h.protected_bytes} B"),
        ):
            table.add_row(name, value)
        console.print(table)
        console.print()
    if image.entries:
        table = Table("offset", "TLV", "signed", show_edge=False, pad_edge=False)
        table.add_column("value", overflow="fold")
        for e in image.entries:
            signed = Text("yes", "green") if e.protected else Text("no", "yellow")
            table.add_row(
                f"0x{e.offset:x}", e.name, signed, Text(_meaning(e, image) or e.value.hex())
            )
        console.print(table)
        console.print()
    for row in _map_lines(regions(image)) if h is not None else ():
        console.print(row, no_wrap=True)
    if image.trailer is not None:
        t = image.trailer
        state = {None: "not set", 1: "set"}
        console.print(
            f"trailer: units of {t.align} B, image_ok {state.get(t.image_ok, t.image_ok)}, "
            f"copy_done {state.get(t.copy_done, t.copy_done)}"
        )
    _say("hash", verdict.hash)
    _say("signature", verdict.signature)
    if verdict.reason:
        console.print(f"not checked: {verdict.reason}", style="dim")
    if is_development(image):
        console.print("signed with the development key, which anybody has", style="yellow")
    for line in trouble:
        console.print(line, style="bold red", markup=False, highlight=False, soft_wrap=True)


def _where(header: Header) -> str:
    if header.flags & Flag.NON_BOOTABLE:
        return "where MicroPython loads it"
    if header.flags & (Flag.ROM_FIXED | Flag.RAM_LOAD):
        return f"0x{header.load_address:08x}"
    return "where slot a lies"


def _mpy_text(image: Image) -> str:
    mpy = _mpy(image)
    return f", a {mpy}" if mpy else ""


def _mpy(image: Image) -> Mpy | None:
    """Only a payload that no bootloader starts is one."""
    is_bootable = image.header is None or not image.header.flags & Flag.NON_BOOTABLE
    return None if is_bootable else read_mpy(image.payload)


def _say(what: str, outcome: Outcome) -> None:
    style = {Outcome.VALID: "green", Outcome.UNKNOWN: "yellow"}.get(outcome, "bold red")
    console.print(f"{what}: {outcome.value}", style=style, highlight=False)


def _map_lines(parts: list[Region]) -> list[Text]:
    """The file to scale: what a change in breaks the signature, and what not."""
    total = sum(p.bytes for p in parts) or 1
    lines = []
    for part in parts:
        lines.append(Text(f"0x{part.start:08x} ├{'─' * MAP_WIDTH}┤"))
        for row in range(rows := max(1, round(MAP_ROWS * part.bytes / total))):
            middle = row == (rows - 1) // 2
            line = Text(" " * 11 + "│")
            name = f" {part.name} " if middle else ""
            line.append(name.ljust(MAP_WIDTH), STYLES[part.signed])
            signed = "signed" if part.signed else "not signed"
            note = f", {part.note}" if part.note else ""
            line.append(f"│ {size_text(part.bytes)}, {signed}{note}" if middle else "│")
            lines.append(line)
    if parts:
        end = parts[-1].start + parts[-1].bytes
        lines.append(Text(f"0x{end:08x} ├{'─' * MAP_WIDTH}┤"))
    return lines


def _flag_names(flags: int) -> list[str]:
    names = [flag.name for flag in Flag if flags & flag and flag.name]
    unknown = flags
    for flag in Flag:
        unknown &= ~flag
    return names + ([f"0x{unknown:x}"] if unknown else [])


def _is_sized(entry: Entry) -> bool:
    return len(entry.value) in SIZES[Tlv(entry.type)]


def _dependency(entry: Entry) -> dict[str, Any]:
    number, *version = DEPENDENCY.unpack(entry.value)
    names = {n: name for name, n in IMAGE_NUMBERS.items()}
    return {
        "image": number,
        "name": names.get(number),
        "at_least": str(Version(*version)),
        "protected": entry.protected,
    }


def _meaning(entry: Entry, image: Image) -> str | None:
    """A TLV's value in words, where it has any."""
    if entry.type == MPY_MODEL and _mpy(image) is not None:
        return f"model {entry.value.decode(errors='replace')} for MicroPython"
    if entry.type not in Tlv._value2member_map_ or not SIZES.get(Tlv(entry.type)):
        return None
    if not _is_sized(entry):
        return None
    if entry.type == Tlv.SEC_CNT:
        return f"security counter {int.from_bytes(entry.value, 'little')}"
    if entry.type == Tlv.DEPENDENCY:
        needs = _dependency(entry)
        return f"needs {needs['name'] or 'image ' + str(needs['image'])} >= {needs['at_least']}"
    if entry.type == Tlv.UUID_VID and entry.value == VENDOR_UUID.bytes:
        return f"vendor {VENDOR}"
    if entry.type == Tlv.UUID_CID:
        known = recognise_class(entry.value)
        return f"for {known}" if known else None
    return None
