"""An update of one device from beginning to end: send, try, prove, keep; or say why not.

Whatever is cut in the middle, the next update of the same images goes on where it ended: images
that are there are not sent again, and images on trial are proven and kept.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from smp.image_management import ImageState

from tinyseal.board import Board
from tinyseal.device.links import LinkError
from tinyseal.device.smp import Identity, SmpDevice, SmpError
from tinyseal.errors import DeviceError, ToolError
from tinyseal.package.delta import best_patch
from tinyseal.package.files import read_file
from tinyseal.package.mcuboot import Version
from tinyseal.package.sign import IMAGE_NUMBERS as NUMBERS
from tinyseal.package.sign import parse_version
from tinyseal.package.update import (
    NAMES,
    SLOT_NAMES,
    Choice,
    RefusedError,
    Running,
    Target,
    UpdateImage,
    assumed_board,
    choose,
)
from tinyseal.profiles import board_names, load_board

BOOT_SECONDS: Final = 60.0  # from reset to the first answer, both images verified twice
RESET_SECONDS: Final = 5.0  # from the request to a device that no longer answers it
RESETS: Final = 3  # requests for one, where none seems to have arrived
POLL_SECONDS: Final = 0.3

FAILED: Final = "failed"
OUTCOMES: Final = {3: "refused", 4: "out of reach", 5: "reverted", 6: "in doubt"}  # by exit code


class RevertedError(DeviceError):
    """The new images did not prove themselves; the device runs the old ones."""

    exit_code = 5


class DoubtError(DeviceError):
    """What the device runs now is not known."""

    exit_code = 6


def outcome_of(error: ToolError) -> str:
    """An error of an update in a word."""
    return OUTCOMES.get(error.exit_code, FAILED)


class Watcher(Protocol):
    """Who is told how far it is."""

    def stage(self, text: str) -> None:
        """What begins now."""

    def sent(self, file: str, size: int, done: int, resumed: int) -> None:
        """The device has `done` of a file's bytes, `resumed` of them from an earlier try."""


class Silent:
    def stage(self, text: str) -> None:
        pass

    def sent(self, file: str, size: int, done: int, resumed: int) -> None:
        pass


@dataclass(frozen=True)
class Report:
    """What an update did."""

    outcome: str  # updated, unchanged
    board: str
    device_id: str
    before: dict[int, Running]
    after: dict[int, Running]
    sent_bytes: int
    seconds: float
    checked: tuple[str, ...]  # what the new images proved
    patches: tuple[str, ...]  # files that were sent in the place of whole images


@dataclass
class _Run:
    """An update under way."""

    device: SmpDevice
    watcher: Watcher
    boot_seconds: float
    clock: Callable[[], float] = time.monotonic
    sent_bytes: int = 0
    checked: list[str] = field(default_factory=list)
    patches: list[str] = field(default_factory=list)


async def update(
    device: SmpDevice,
    images: Sequence[UpdateImage],
    watcher: Watcher | None = None,
    profile: Board | None = None,
    boot_seconds: float = BOOT_SECONDS,
) -> Report:
    """Brings a device to the images of a set.

    RefusedError (nothing was sent), LinkError (out of reach; try again), RevertedError (the old
    images run), DoubtError; DeviceError and SmpError for what else goes wrong.
    """
    run = _Run(device, watcher or Silent(), boot_seconds)
    started = run.clock()
    run.watcher.stage("asking the device")
    await device.learn_buffer()
    states = await device.images()
    before = running(states)
    changed = await _finish_trial(run, images, states)
    identity, choices = await _missing(device, images, before, profile)
    if choices:
        await _install(run, choices, before)
        changed = True
    after = running(await device.images())
    return Report(
        "updated" if changed else "unchanged",
        identity.board or "",
        identity.id,
        before,
        after,
        run.sent_bytes,
        round(run.clock() - started, 3),
        tuple(run.checked),
        tuple(run.patches),
    )


async def check(
    device: SmpDevice, images: Sequence[UpdateImage], profile: Board | None = None
) -> None:
    """DeviceError unless the device runs the images, keeps them, and works."""
    states = await device.images()
    _, missing = await _missing(device, images, running(states), profile)
    if missing or trials(states):
        names = ", ".join(c.image.name for c in missing) or ", ".join(map(describe, trials(states)))
        raise DeviceError(f"{device.link}: does not run {names} for good")
    await _prove(_Run(device, Silent(), BOOT_SECONDS))


async def _missing(
    device: SmpDevice,
    images: Sequence[UpdateImage],
    now: dict[int, Running],
    profile: Board | None,
) -> tuple[Identity, list[Choice]]:
    """Who the device is, and which of the images it does not run."""
    told = await device.identity()
    name = told.board or (profile.name if profile else assumed_board(images))
    choices = choose(images, Target(name, profile or profile_of(name), now))
    return Identity(name, told.id), choices


async def revert(device: SmpDevice, boot_seconds: float = BOOT_SECONDS) -> dict[int, Running]:
    """Ends a trial. Images that wait for one are tried and reverted at once: nothing else makes a
    device forget them. DeviceError where there is neither."""
    run = _Run(device, Silent(), boot_seconds)
    states = await device.images()
    if waiting(states):
        await _restart(run, lambda s: s.pending and not s.active)
        states = await device.images()
    elif not trials(states):
        raise DeviceError(f"{device.link}: no image is on trial or waits for one")
    if trials(states):
        await _end_trial(run, trials(states))
    return running(await device.images())


async def confirm(device: SmpDevice) -> dict[int, Running]:
    """Keeps what is on trial. DeviceError where nothing is."""
    on_trial = trials(await device.images())
    if not on_trial:
        raise DeviceError(f"{device.link}: no image is on trial")
    await _keep(device, on_trial)
    return running(await device.images())


async def erase(device: SmpDevice, number: int) -> dict[int, Running]:
    """Erases the slot of image `number` that is not in use."""
    now = running(await device.images())
    if number not in now:
        raise DeviceError(
            f"{device.link}: runs no {NAMES[number]}, so no slot of it is known to be free"
        )
    await device.erase(2 * number + 1 - now[number].slot)
    return running(await device.images())


async def restart(device: SmpDevice, boot_seconds: float = BOOT_SECONDS) -> dict[int, Running]:
    """Restarts the device, and waits until it answers."""
    await device.reset()
    await asyncio.sleep(RESET_SECONDS / 5)
    await device.wait(boot_seconds)
    return running(await device.images())


def running(states: Sequence[ImageState]) -> dict[int, Running]:
    """The images in use."""
    return {
        s.image or 0: Running(s.slot, told_version(s), s.hash) for s in states if s.active
    }  # fmt: skip


def trials(states: Sequence[ImageState]) -> list[ImageState]:
    """Images that run and are not kept yet."""
    return [s for s in states if s.active and not s.confirmed]


def waiting(states: Sequence[ImageState]) -> list[ImageState]:
    """Images to be tried at the next start."""
    return [s for s in states if s.pending and not s.active]


def told_version(state: ImageState) -> Version:
    """MCUmgr writes MAJOR.MINOR.REVISION, then .BUILD where that is not 0."""
    text = state.version.replace("+", ".")
    head, _, build = text.rpartition(".") if text.count(".") == 3 else (text, "", "0")
    return parse_version(f"{head}+{build}")


def profile_of(board: str) -> Board | None:
    return load_board(board) if board in board_names() else None


def describe(state: ImageState) -> str:
    return f"{NAMES.get(state.image or 0, state.image)} {SLOT_NAMES[state.slot]} {state.version}"


async def _finish_trial(
    run: _Run, images: Sequence[UpdateImage], states: Sequence[ImageState]
) -> bool:
    """Proves and keeps images of ours that are on trial: an update was cut after its restart."""
    on_trial = trials(states)
    ours = {i.hash for i in images}
    for state in [*on_trial, *waiting(states)]:
        if state.hash not in ours:
            raise RefusedError(
                f"{run.device.link}: another update {'is' if state.active else 'waits to be'} on "
                f"trial, {describe(state)}: end it with tinyseal ota confirm or tinyseal ota revert"
            )
    if on_trial:
        await _prove_and_keep(run, on_trial)
    return bool(on_trial)


async def _install(run: _Run, choices: Sequence[Choice], before: dict[int, Running]) -> None:
    device = run.device
    for choice in choices:
        present = _find(await device.images(), choice)
        if present is None:
            await _send(run, choice, before.get(choice.number))
            present = _find(await device.images(), choice)
        if present is None:
            raise DeviceError(
                f"{device.link}: took {choice.image.name}, and does not list it as an image"
            )
        await device.test(choice.image.hash)
    await _start_new(run, choices)
    await _prove_and_keep(run, await _on_trial(run, choices))


async def _send(run: _Run, choice: Choice, old: Running | None) -> None:
    """Sends a patch that makes the image of what runs, if one lies beside it, or the image."""
    image = choice.image
    patch = None
    if old is not None and old.hash is not None:
        patch = best_patch(old.hash, image.data, image.path.parent)
    if patch is not None:
        try:
            await _upload(run, choice, patch, read_file(patch))
            run.patches.append(patch.name)
            return
        except SmpError as e:
            run.watcher.stage(f"{e}; sending the whole image")
    try:
        await _upload(run, choice, image.path, image.data)
    except SmpError as e:
        if e.group is not None and not run.sent_bytes:
            raise RefusedError(f"{image.path}: {e}") from e
        raise


async def _upload(run: _Run, choice: Choice, path: Path, data: bytes) -> None:
    run.watcher.stage(f"sending {path.name}")
    had: int | None = None
    done = 0

    def progress(now: int, before: int) -> None:
        nonlocal had, done
        had, done = before, now
        run.watcher.sent(path.name, len(data), now, before)

    try:
        await run.device.upload(choice.number, data, choice.image.hash, progress)
    finally:
        run.sent_bytes += done - (had or 0)


def _find(states: Sequence[ImageState], choice: Choice) -> ImageState | None:
    """The image as it lies in a slot, waiting to be tried."""
    for state in states:
        if (state.image or 0) == choice.number and state.hash == choice.image.hash:
            return state
    return None


async def _start_new(run: _Run, choices: Sequence[Choice]) -> None:
    """Restarts the device, and waits until it has looked at what it was given."""
    run.watcher.stage("restarting the device")
    await run.device.console_lines()
    wanted = {choice.image.hash for choice in choices}
    await _restart(run, lambda s: s.pending and not s.active and s.hash in wanted)


async def _restart(run: _Run, is_still_before: Callable[[ImageState], Any]) -> None:
    """Asks for a restart until the image state is no longer that of before. A second request is
    sent only then: on a device in trial, it would end that."""
    device = run.device
    try:
        for _ in range(RESETS):
            await device.reset()
            deadline = run.clock() + RESET_SECONDS
            while run.clock() < deadline:
                await asyncio.sleep(POLL_SECONDS)
                await device.wait(run.boot_seconds)
                if not any(map(is_still_before, await device.images())):
                    return
    except LinkError as e:
        raise DoubtError(
            f"{device.link}: no answer for {run.boot_seconds:g} s after the restart; switch it "
            "off and on: it goes back to the old images"
        ) from e
    raise DeviceError(f"{device.link}: did not restart in {RESETS * RESET_SECONDS:g} s")


async def _on_trial(run: _Run, choices: Sequence[Choice]) -> list[ImageState]:
    """The new images, running; or RevertedError, with the bootloader's words."""
    states = await run.device.images()
    missing = [c for c in choices if not any(s.active and s.hash == c.image.hash for s in states)]
    if not missing:
        return [s for s in states if any(s.active and s.hash == c.image.hash for c in choices)]
    said = [line for line in await run.device.console_lines() if line.startswith("boot ")]
    why = f"; the bootloader said: {'; '.join(said)}" if said else ""
    still = trials(states)
    if still:
        await _end_trial(run, still)
    names = ", ".join(c.image.name for c in missing)
    raise RevertedError(f"{run.device.link}: does not run {names}, the old images run{why}")


async def _prove_and_keep(run: _Run, on_trial: Sequence[ImageState]) -> None:
    run.watcher.stage("checking the new images")
    try:
        await _prove(run)
    except LinkError as e:
        raise LinkError(
            f"{e}; the new images are on trial: the same command keeps them, a restart ends it"
        ) from e
    except DeviceError as e:
        run.watcher.stage("going back to the old images")
        await _end_trial(run, on_trial)
        raise RevertedError(f"health check failed, the old images run again: {e}") from e
    run.watcher.stage("keeping the new images")
    await _keep(run.device, on_trial)


async def _prove(run: _Run) -> None:
    """The device answers, and the model, if it has one, computes what it should."""
    await run.device.echo()
    run.checked.append("echo")
    try:
        await run.device.self_test()
        run.checked.append("self-test")
    except SmpError as e:
        has_model = NUMBERS["capsule"] in running(await run.device.images())
        if has_model and not e.is_unsupported:
            raise


async def _keep(device: SmpDevice, on_trial: Sequence[ImageState]) -> None:
    for state in on_trial:
        assert state.hash is not None
        await device.confirm(state.hash)
    kept = {s.hash for s in await device.images() if s.active and s.confirmed}
    for state in on_trial:
        if state.hash not in kept:
            raise DoubtError(
                f"{device.link}: {describe(state)} was confirmed, and the device does not say so"
            )


async def _end_trial(run: _Run, on_trial: Sequence[ImageState]) -> None:
    """Restarts the device, which then goes back; DoubtError if it did not."""
    hashes = {s.hash for s in on_trial}
    try:
        await _restart(run, lambda s: s.active and not s.confirmed and s.hash in hashes)
    except DoubtError:
        raise
    except DeviceError as e:
        raise DoubtError(f"{e}; it should go back to the old images, and was not seen to") from e
