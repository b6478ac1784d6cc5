"""The size report of a firmware: after a link against the last build, and on request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tinyseal.build.firmware import ROOT, Request
from tinyseal.build.size import Sizes, measure_images, report
from tinyseal.cli.output import console


def update(request: Request) -> int:
    """Measures a firmware that was linked just now, keeps the figures beside it, and shows them."""
    folder = ROOT / request.folder
    kept = folder / "size.json"
    sizes = measure_images(request, (folder / "layers.txt").read_text().splitlines())
    last = _read(kept)
    value = {
        "board": request.board.name,
        "model": request.model.stem,
        "kernels": request.kernels,
        **sizes.to_json(),
        "last": last and {key: last[key] for key in sizes.to_json()},
    }
    kept.write_text(json.dumps(value, indent=1) + "\n")
    return show(request)


def show(request: Request) -> int:
    """Prints the report of the last link."""
    value = json.loads((ROOT / request.folder / "size.json").read_text())
    last = value["last"] and Sizes.from_json(value["last"])
    console.print(report(Sizes.from_json(value), last))
    return 0


def _read(path: Path) -> Any:
    """None if there is no report, or none that this version wrote."""
    try:
        value = json.loads(path.read_text())
        return value if "images" in value else None
    except (FileNotFoundError, json.JSONDecodeError):
        return None
