"""Model files from disk: the one place of `graph` that opens files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tinyseal.errors import ModelError
from tinyseal.graph.ir import Graph
from tinyseal.graph.tflite import MAX_LABEL_BYTES, import_tflite, parse_labels

IMPORTERS: Final[dict[str, Callable[[bytes, str], Graph]]] = {".tflite": import_tflite}
MAX_MODEL_BYTES: Final = 1 << 28


def load_model(path: Path) -> Graph:
    """The Graph of a model file, by its suffix, with the labels of `<stem>.labels.txt` beside it.

    Raises ModelError for a file that is missing, of an unknown kind, or malformed.
    """
    importer = IMPORTERS.get(path.suffix.lower())
    if importer is None:
        raise ModelError(
            f"{path}: unknown kind of model {path.suffix!r}; known: {', '.join(IMPORTERS)}"
        )
    graph = importer(_read(path, MAX_MODEL_BYTES), path.stem)
    sidecar = path.with_suffix(".labels.txt")
    if not sidecar.is_file():
        return graph
    labels = parse_labels(_read(sidecar, MAX_LABEL_BYTES))
    classes = graph.tensor(graph.outputs[0]).shape[-1:]
    if classes != (len(labels),):
        raise ModelError(
            f"{sidecar}: {len(labels)} labels, but the output has {classes[0] if classes else 1} "
            "values; one label a line is wanted"
        )
    return dataclasses.replace(graph, labels=labels)


def _read(path: Path, limit: int) -> bytes:
    try:
        if not path.is_file():
            raise ModelError(f"{path}: no such file")
        size = path.stat().st_size
        if size > limit:
            raise ModelError(f"{path}: {size} B, at most {limit} B are read")
        return path.read_bytes()
    except OSError as e:
        raise ModelError(f"{path}: {e.strerror}") from e
