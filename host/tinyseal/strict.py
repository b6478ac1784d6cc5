"""Tables of a TOML file as models that know every key: all faults at once, in plain words."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from tinyseal.errors import BoardError


class Strict(BaseModel):
    """A table of a file that people write: every key known, every type exact."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def read_toml(path: Path, shown: str) -> dict[str, Any]:
    """The tables of a file; BoardError names it as `shown`."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as e:
        raise BoardError(f"{shown}: cannot be read: {e}") from e
    except tomllib.TOMLDecodeError as e:
        raise BoardError(f"{shown}: is not TOML: {e}") from e


def as_json(value: object) -> str:
    """For pydantic, whose JSON mode takes lists for tuples and strings for enums, and is strict
    in all else."""
    return json.dumps(value, default=str)


def shape_faults(model: type[Strict], data: Mapping[str, Any]) -> Iterator[str]:
    """Unknown keys, missing keys, wrong types, numbers out of range: what keeps `data` from
    being a `model`, a line each."""
    try:
        model.model_validate_json(as_json(data))
    except ValidationError as e:
        for error in e.errors(include_url=False):
            yield _in_plain_words(model, error["loc"], error["type"], error["input"])


def _in_plain_words(
    root: type[Strict], loc: tuple[int | str, ...], kind: str, value: object
) -> str:
    expected, siblings = _expected(root, loc)
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)[1:]
    if kind == "extra_forbidden":
        close = difflib.get_close_matches(str(loc[-1]), siblings, 1)
        hint = f"did you mean {close[0]}?" if close else f"keys here: {', '.join(siblings)}"
        return f"{key}: unknown key; {hint}"
    if kind == "missing":
        return f"{key}: missing; expected {expected}"
    shown = json.dumps(value, default=str)
    return f"{key}: expected {expected}, is {shown if len(shown) <= 60 else shown[:57] + '...'}"


def _expected(root: type[Strict], loc: Sequence[int | str]) -> tuple[str, list[str]]:
    """What belongs at `loc`, in words, and the keys of the table it is in."""
    model: type[BaseModel] = root
    words, siblings = "a table", list(root.model_fields)
    for part in loc:
        if isinstance(part, int):
            continue
        siblings = [k for k in model.model_fields]
        field = model.model_fields.get(part)
        if field is None:
            break
        inner = [field.annotation, *get_args(field.annotation)]
        tables = [t for t in inner if isinstance(t, type) and issubclass(t, BaseModel)]
        if tables:
            model = tables[0]
            listed = get_args(field.annotation)[-1:] == (Ellipsis,)
            head = f"[[{part}]]" if listed else f"[{part}]"
            words = f"{head} with {', '.join(model.model_fields)}"
        else:
            words = field.description or "another value"
    return words, siblings
