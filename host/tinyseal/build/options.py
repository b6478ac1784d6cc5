"""The words of a `scons` command line, checked: one line says what is wrong and what is right."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tinyseal import __version__
from tinyseal.build.firmware import (
    DEFAULT_BOARD,
    DEFAULT_MODEL,
    KERNEL_CHOICES,
    ROOT,
    Request,
)
from tinyseal.codegen.generate import Terms
from tinyseal.errors import BuildError
from tinyseal.graph.reference_statistics import MAX_WINDOW, WINDOW
from tinyseal.plan.goal import Optimise
from tinyseal.profiles import board_names, is_board_path, load_board

OPTIONS: Final = {
    "board": f"one of boards/*.toml, or a path of your own; {DEFAULT_BOARD} if left out",
    "model": f"a model file; {DEFAULT_MODEL} if left out",
    "kernels": f"{', '.join(KERNEL_CHOICES)}: whose kernels to prefer; auto if left out",
    "optimise": "speed, size (code in flash) or ram (the arena); speed if left out",
    "ram": "bytes the arena may take, as 49152 or 48k; what the board has if left out",
    "tuning": "file of kernels as measured; boards/tuning/BOARD.toml, if there is one, if left out",
    "cmsis_nn": "a checkout of CMSIS-NN; the pinned release, fetched once, if left out",
    "version": "of application and capsule, as 1.2.3+4; the tool's own if left out",
    "security_counter": "of both; a board never goes back to a lower one; 0 if left out",
    "key": "PEM file of the key that signs, of the board's kind; the development key if left out",
    "encrypt": "PEM file of an X25519 key to encrypt for; needs a board that decrypts",
    "release": "1: refuse development keys",
    "policy": "metered: every inference is a prepaid query; unmetered if left out",
    "family": "of models that one voucher is good for: lower-case letters, digits and _",
    "port": "for hil, ota, flash: the serial port of a real board",
    "reference": ".npy or .npz of calibration samples: the device then watches for drift",
    "window": "inferences that are held against them together; 256 if left out",
    "framework": "arduino, espidf, zephyr or plain: PlatformIO builds an example with the model",
    "rig": "for hil, ota, flash: a real board by its name in hil/bench.toml",
}


POLICIES: Final = ("unmetered", "metered")


def parse(arguments: Mapping[str, str], targets: Sequence[str], known: Iterable[str]) -> Request:
    """What to build. BuildError or BoardError names the valid choices."""
    for key in arguments:
        _one_of("option", key, OPTIONS)
    for target in targets:
        _one_of("target", target, list(known))
    name = arguments.get("board", DEFAULT_BOARD)
    if not is_board_path(name):
        _one_of("board", name, board_names())
    board = load_board(name)
    kernels = arguments.get("kernels", KERNEL_CHOICES[0])
    _one_of("kernels", kernels, KERNEL_CHOICES)
    optimise = arguments.get("optimise", Optimise.SPEED.value)
    _one_of("optimise", optimise, [o.value for o in Optimise])
    model = _model(arguments.get("model", str(DEFAULT_MODEL)))
    checkout = Path(arguments["cmsis_nn"]) if "cmsis_nn" in arguments else None
    release = arguments.get("release", "0")
    _one_of("release", release, ("0", "1"))
    counter = arguments.get("security_counter", "0")
    if not (counter.isascii() and counter.isdigit() and int(counter) < 2**32):
        raise BuildError(f"security_counter {counter!r}: expected a number from 0 to {2**32 - 1}")
    policy = arguments.get("policy", POLICIES[0])
    _one_of("policy", policy, POLICIES)
    if policy == "metered" and not board.services.metering:
        raise BuildError(f"policy=metered: board {board.name} has services.metering = false")
    family = arguments.get("family", "")
    if not re.fullmatch(r"[a-z0-9_]{0,31}", family):
        raise BuildError(f"family {family!r}: expected up to 31 lower-case letters, digits and _")
    window = arguments.get("window", str(WINDOW))
    if not (window.isascii() and window.isdigit() and 1 < int(window) <= MAX_WINDOW):
        raise BuildError(f"window {window!r}: expected a number from 2 to {MAX_WINDOW}")
    return Request(
        board,
        model,
        kernels,
        checkout,
        version=arguments.get("version", __version__),
        security_counter=int(counter),
        key=Path(arguments["key"]) if "key" in arguments else None,
        encrypt=Path(arguments["encrypt"]) if "encrypt" in arguments else None,
        release=release == "1",
        terms=Terms(is_metered=policy == "metered", family=family),
        reference=_file("reference", arguments),
        window=int(window),
        optimise=Optimise(optimise),
        tuning=_tuning(arguments, targets),
        ram=parse_ram(arguments["ram"]) if "ram" in arguments else None,
        words=dict(arguments),
    )


def parse_ram(text: str) -> int:
    """Bytes from `49152` or `48k`. BuildError."""
    found = re.fullmatch(r"([1-9][0-9]{0,8})([kK]?)", text)
    if found is None:
        raise BuildError(f"ram {text!r}: expected bytes, as 49152 or 48k")
    return int(found[1]) * (1024 if found[2] else 1)


def help_text(targets: Mapping[str, str]) -> str:
    """What `scons -h` prints; `targets` are their names and what they do."""
    lines = ["scons [OPTION=VALUE...] [TARGET...]", "", "Options:"]
    lines += [f"  {name:18}{text}" for name, text in OPTIONS.items()]
    lines += ["", "Targets:", *(f"  {name:10}{text}" for name, text in targets.items()), ""]
    return "\n".join(lines)


def _model(text: str) -> Path:
    path = Path(text)
    if not (ROOT / path).is_file():
        models = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "models").glob("*.tflite"))
        raise BuildError(f"no model {text!r}; models here: {', '.join(models)}")
    return path


def _file(option: str, arguments: Mapping[str, str]) -> Path | None:
    if option not in arguments:
        return None
    if not (ROOT / arguments[option]).is_file():
        raise BuildError(f"{option} {arguments[option]!r}: no such file")
    return Path(arguments[option])


def _tuning(arguments: Mapping[str, str], targets: Sequence[str]) -> Path | None:
    if "tuning" in arguments and "tune" in targets:
        return Path(arguments["tuning"])  # will be written
    return _file("tuning", arguments)


def _one_of(what: str, value: str, choices: Iterable[str]) -> None:
    choices = list(choices)
    if value not in choices:
        close = difflib.get_close_matches(value, choices, 1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise BuildError(f"no {what} {value!r}; {hint}choices: {', '.join(choices)}")
