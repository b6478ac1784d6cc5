"""`tinyseal delta`: an update as what differs from the image that runs."""

from __future__ import annotations

from pathlib import Path

import typer

from tinyseal.cli.output import JsonOption, console, print_json

OldArgument = typer.Argument(..., help="The signed image that devices run.")
NewArgument = typer.Argument(..., help="The signed image that they shall run, for the other slot.")
OutOption = typer.Option(..., "--out", "-o", help="The patch to write; best named *.patch.")
ImageOption = typer.Option(
    None, "--image", help="app or capsule; found out for boards of this project."
)


def delta(
    old: Path = OldArgument,
    new: Path = NewArgument,
    out: Path = OutOption,
    image: str | None = ImageOption,
    as_json: bool = JsonOption,
) -> None:
    """Make a patch that turns one signed image into another on the device.

    On boards that run in place, OLD is for the slot in use and NEW for the other one. The patch
    is uploaded like an image; it was applied once before it is written. Nothing in it is secret
    that is not in NEW, and nothing in it has to be trusted: the device verifies what it makes.

    Example: tinyseal delta v1/capsule_a.signed.bin v2/capsule_b.signed.bin -o v2/from_v1.patch
    """
    from tinyseal.errors import UsageError
    from tinyseal.package.delta import make_patch, read_patch
    from tinyseal.package.files import write_file
    from tinyseal.package.mcuboot import read_image
    from tinyseal.package.merge import read_binary
    from tinyseal.package.sign import IMAGE_NUMBERS

    if image is not None and image not in IMAGE_NUMBERS:
        raise UsageError(f"image {image!r}: expected {' or '.join(IMAGE_NUMBERS)}")
    before, after = read_binary(old), read_binary(new)
    patch = make_patch(before, after, None if image is None else IMAGE_NUMBERS[image])
    write_file(out, patch)
    info = read_patch(patch)
    headers = [read_image(data).header for data in (before, after)]
    versions = [str(h.version) for h in headers if h is not None]
    saved = round(1 - len(patch) / info.new_bytes, 4)
    if as_json:
        print_json(
            {
                "file": str(out),
                "bytes": len(patch),
                "new_bytes": info.new_bytes,
                "saved": saved,
                "image": next(name for name, n in IMAGE_NUMBERS.items() if n == info.image),
                "from": versions[0],
                "to": versions[1],
                "old_hash": info.old_hash.hex(),
                "new_hash": info.new_hash.hex(),
            }
        )
        return
    console.print(
        f"{out}: {len(patch):,} B for an image of {info.new_bytes:,} B, saves {saved:.1%}; "
        f"from {versions[0]} to {versions[1]}",
        highlight=False,
        soft_wrap=True,
    )
