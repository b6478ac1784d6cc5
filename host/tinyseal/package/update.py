"""Images to be sent to a device: read, held against what runs there, and the right ones chosen.

A device runs its images in place from one of two slots, or from RAM; in place, an image is linked
for the slot it lies in. So an update comes as a set, with variants, and the device's free slot
decides which of them is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tinyseal.board import Board
from tinyseal.errors import ImageError, UsageError
from tinyseal.package.files import read_file
from tinyseal.package.keys import Key
from tinyseal.package.mcuboot import (
    DEPENDENCY,
    IMAGE_MAGIC,
    Flag,
    Image,
    Tlv,
    Version,
    read_image,
)
from tinyseal.package.sign import IMAGE_NUMBERS, class_name, class_uuid, recognise_class, slot_of
from tinyseal.package.verify import Outcome, judge

NAMES: Final = {number: name for name, number in IMAGE_NUMBERS.items()}
SLOT_NAMES: Final = ("a", "b")


class RefusedError(ImageError):
    """The images are not for this device, or it runs newer ones: nothing was sent."""

    exit_code = 3


@dataclass(frozen=True)
class UpdateImage:
    """One file of a set."""

    path: Path
    data: bytes  # without what a padded file has behind the image
    version: Version
    security_counter: int
    hash: bytes  # as the device tells it
    class_id: bytes | None
    address: int | None  # of the slot it is linked for; None: it goes into either
    needs: tuple[tuple[int, Version], ...]  # image number and lowest version

    @property
    def name(self) -> str:
        return self.path.name


@dataclass(frozen=True)
class Running:
    """The image in use of one number, as the device tells it."""

    slot: int  # as the image group counts, 0 or 1
    version: Version
    hash: bytes | None


@dataclass(frozen=True)
class Target:
    """What decides which images a device takes."""

    name: str  # the board's
    board: Board | None  # its profile, if there is one here
    running: dict[int, Running]  # by image number


@dataclass(frozen=True)
class Choice:
    """What to send. `slot` is the one it will lie in, None where that makes no difference."""

    number: int
    image: UpdateImage
    slot: int | None

    @property
    def what(self) -> str:
        return NAMES[self.number]


def read_set(paths: Iterable[Path], key: Key | None = None) -> list[UpdateImage]:
    """The images in files, and in folders whatever there is one.

    UsageError for a path that is not there or a folder without images; RefusedError for a file
    that is no image, is damaged, or is not signed (by `key`, if that is given).
    """
    found: dict[bytes, UpdateImage] = {}
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder")
        files = (
            sorted(p for p in path.iterdir() if _begins_an_image(p)) if path.is_dir() else [path]
        )
        if not files:
            raise UsageError(f"{path}: no images in this folder")
        for file in files:
            image = read_update(file, key)
            found.setdefault(image.hash, image)
    return list(found.values())


def read_update(path: Path, key: Key | None = None) -> UpdateImage:
    """One image, checked as far as that goes without a device. RefusedError."""
    read = read_image(read_file(path))
    if read.problems:
        raise RefusedError(f"{path}: {read.problems[0]}")
    verdict = judge(read, key)
    if verdict.signature is Outcome.MISSING:
        raise RefusedError(f"{path}: is not signed; tinyseal sign signs it")
    if not verdict.good:
        bad = "hash" if verdict.hash is Outcome.WRONG else "signature"
        raise RefusedError(f"{path}: its {bad} is {getattr(verdict, bad).value}")
    header = read.header
    image_hash = read.value(Tlv.SHA256)
    assert header is not None and image_hash is not None
    return UpdateImage(
        path=path,
        data=read.data[: read.end],
        version=header.version,
        security_counter=int.from_bytes(read.value(Tlv.SEC_CNT) or b"", "little"),
        hash=image_hash,
        class_id=read.value(Tlv.UUID_CID),
        address=header.load_address if header.flags & Flag.ROM_FIXED else None,
        needs=_needs(read),
    )


def assumed_board(images: Sequence[UpdateImage]) -> str:
    """The board that the images are for, where the device does not tell its own: it refuses them
    itself if that is wrong. RefusedError if they do not say."""
    names = {recognise_class(i.class_id or b"") for i in images}
    boards = {name.rpartition(" ")[0] for name in names if name}
    if len(boards) != 1:
        raise RefusedError(
            "the device does not tell which board it is, and the images do not either; give "
            "--profile"
        )
    return boards.pop()


def choose(images: Sequence[UpdateImage], target: Target) -> list[Choice]:
    """For each image number of the set, the one variant that goes into the device's free slot;
    none for what runs already. A set may be for several kinds of boards. RefusedError says what
    keeps the device from taking any of it."""
    by_number: dict[int, list[UpdateImage]] = {}
    for image in images:
        number = _number(image, target.name)
        if number is not None:
            by_number.setdefault(number, []).append(image)
    if not by_number:
        raise _not_for(images[0], target.name)
    choices = []
    for number, variants in sorted(by_number.items()):
        _check_one_version(variants)
        if not _runs_already(variants, target.running.get(number)):
            choices.append(_variant(number, variants, target))
    versions = {number: running.version for number, running in target.running.items()}
    versions |= {choice.number: choice.image.version for choice in choices}
    for choice in choices:
        _check_needs(choice, versions)
    return choices


def _begins_an_image(path: Path) -> bool:
    """Whether a file has the magic: build folders hold much else."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == IMAGE_MAGIC.to_bytes(4, "little")


def _needs(image: Image) -> tuple[tuple[int, Version], ...]:
    values = (DEPENDENCY.unpack(e.value) for e in image.all(Tlv.DEPENDENCY))
    return tuple((number, Version(*version)) for number, *version in values)


def _number(image: UpdateImage, board: str) -> int | None:
    """Which image of the board this is; None if it is for another board."""
    for name, number in IMAGE_NUMBERS.items():
        if image.class_id == class_uuid(board, name).bytes:
            return number
    return None


def _not_for(image: UpdateImage, board: str) -> RefusedError:
    theirs = None if image.class_id is None else recognise_class(image.class_id)
    whose = f"is for {theirs}" if theirs else "does not say that it is for this board"
    return RefusedError(
        f"{image.path}: {whose}; the device is a {board}, and takes "
        f'"{class_name(board, "app")}" and "{class_name(board, "capsule")}"'
    )


def _check_one_version(variants: Sequence[UpdateImage]) -> None:
    """Of one image, a set has one version, and one file for each slot."""
    first = variants[0]
    for other in variants[1:]:
        if (other.version, other.security_counter) != (first.version, first.security_counter):
            raise RefusedError(
                f"{first.path} is version {first.version} and {other.path} {other.version}: "
                "give one version"
            )
    addresses = [v.address for v in variants]
    if len(set(addresses)) < len(addresses):
        listed = ", ".join(str(v.path) for v in variants)
        raise RefusedError(f"{listed}: different images for one slot; give one of them")


def _runs_already(variants: Sequence[UpdateImage], running: Running | None) -> bool:
    return running is not None and any(v.hash == running.hash for v in variants)


def _variant(number: int, variants: Sequence[UpdateImage], target: Target) -> Choice:
    """The file that fits the free slot, newer than what runs."""
    running = target.running.get(number)
    version = variants[0].version
    if running is not None and version < running.version:
        raise RefusedError(
            f"{variants[0].path}: version {version} is older than {running.version}, which the "
            "device runs"
        )
    free = None if running is None else 1 - running.slot
    for variant in variants:
        if variant.address is None:
            return Choice(number, _fitting(number, variant, target), None)
        if target.board is None or free is None:
            continue
        if variant.address == slot_of(target.board, NAMES[number], SLOT_NAMES[free]).address:
            return Choice(number, _fitting(number, variant, target), free)
    if free is None:
        raise RefusedError(
            f"{variants[0].path}: the device runs no {NAMES[number]}, so which slot is next is "
            "not known; flash it"
        )
    if target.board is None:
        raise RefusedError(
            f"{variants[0].path}: is linked for one slot, and there is no profile of "
            f"{target.name} to tell which; give it with --profile"
        )
    raise RefusedError(
        f"{variants[0].path}: is linked for the slot that is in use; give the image for slot "
        f"{SLOT_NAMES[free]} as well (or the folder with both)"
    )


def _fitting(number: int, image: UpdateImage, target: Target) -> UpdateImage:
    if target.board is not None:
        room = slot_of(target.board, NAMES[number], "a").image_bytes
        if len(image.data) > room:
            raise RefusedError(
                f"{image.path}: has {len(image.data)} B, a slot of {target.name} holds {room}"
            )
    return image


def _check_needs(choice: Choice, versions: dict[int, Version]) -> None:
    """The other image is there, new or as it runs. MCUboot does not compare the build number."""
    for number, lowest in choice.image.needs:
        has = versions.get(number)
        if has is None or _without_build(has) < _without_build(lowest):
            raise RefusedError(
                f"{choice.image.path}: needs {NAMES.get(number, number)} {lowest} or newer, the "
                f"device {'runs none' if has is None else f'has {has}'}; give that as well"
            )


def _without_build(version: Version) -> tuple[int, int, int]:
    return version.major, version.minor, version.revision
