"""What `tinyseal bench` measured, drawn: kernel sets side by side, and layers under their roofs."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from tinyseal.bench.inference import LayerRow, Row
from tinyseal.errors import ToolError, UsageError
from tinyseal.plan.floor import BLOCKS, Shape
from tinyseal.profiles import load_board

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS: Final = (".png", ".svg")
MARKS: Final[dict[Shape, str]] = {"dense": "o", "vector": "s", "depthwise": "^"}
COLOURS: Final = {
    "reference": "#9aa0a6",
    "cmsis-nn": "#e08214",
    "tuned": "#2a6f97",
    "auto": "#1b7837",
}
NAMED: Final = 4  # places whose layers get their names: those furthest above their floors


def require_plots(path: Path) -> None:
    """Before anything is measured for it: the file's kind is known, and its library is there."""
    if path.suffix not in FORMATS:
        raise UsageError(f"{path}: no picture that can be drawn; name it *{' or *'.join(FORMATS)}")
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("--plot needs matplotlib; ./setup plot, or pip install 'tinyseal[plot]'")


def draw(groups: Sequence[Sequence[Row]], path: Path) -> None:
    """Two panels for each board and model: bars of kernel sets, layers under the roof."""
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    rcParams["svg.hashsalt"] = "tinyseal"  # same figures, same bytes
    figure = Figure(figsize=(14, 5.2 * len(groups)), layout="constrained")
    grid = figure.subplots(len(groups), 2, squeeze=False, width_ratios=[2, 3])
    for (bars, roofs), rows in zip(grid, groups, strict=True):
        _draw_bars(bars, rows)
        _draw_roofs(roofs, rows)
    try:
        figure.savefig(path, dpi=130, metadata={"Date": None} if path.suffix == ".svg" else None)
    except OSError as e:
        raise ToolError(f"{path}: cannot be written: {e.strerror}") from e


def _draw_bars(axes: Axes, rows: Sequence[Row]) -> None:
    """Million instructions of one inference, a bar a set, split by layer; the floor as a line."""
    for y, row in enumerate(reversed(rows)):
        left = 0.0
        for number, layer in enumerate(row.layers):
            axes.barh(
                y, layer.instructions / 1e6, left=left, height=0.6, color=_colour(row.kernels),
                alpha=1.0 if number % 2 else 0.7,
            )  # fmt: skip
            left += layer.instructions / 1e6
        axes.text(left, y, f" {row.instructions / 1e6:.3f}", va="center")
    axes.set_yticks(range(len(rows)), [row.kernels for row in reversed(rows)])
    axes.set_xlim(0, 1.18 * max(row.instructions for row in rows) / 1e6)
    least, title = rows[0].floor, f"{rows[0].model} on {rows[0].board}"
    if least:
        axes.axvline(least / 1e6, color="black", linestyle="--", linewidth=1)
        title += f"; floor {least / 1e6:.3f}"
    axes.set_xlabel("million instructions of one inference; shades are layers")
    axes.set_title(title)


def _draw_roofs(axes: Axes, rows: Sequence[Row]) -> None:
    """Products an instruction against products an output. The roof is where a layer would be that
    took its inner block and requantisation, and nothing else."""
    core = load_board(rows[0].board).core
    blocks = BLOCKS.get(core, {})
    shown = [layer for layer in rows[0].layers if _is_shown(layer)]
    depths = [layer.products_per_output or 1.0 for layer in shown] or [1.0]
    x = np.geomspace(min(depths) / 1.5, max(depths) * 1.5, 100)
    for shape, mark in MARKS.items():
        if shape in blocks and any(layer.shape == shape for layer in shown):
            roof = 1 / (blocks[shape].per_mac + blocks[shape].per_output / x)
            axes.plot(x, roof, color="black", linewidth=1, linestyle=_line(shape))
            axes.plot([], [], color="black", marker=mark, linestyle=_line(shape), label=shape)
    for row in rows:
        layers = [layer for layer in row.layers if _is_shown(layer)]
        for layer in layers:
            share = layer.instructions / row.instructions
            axes.scatter(
                layer.products_per_output or 1.0, layer.macs / layer.instructions,
                s=15 + 500 * share, marker=MARKS[layer.shape] if layer.shape else "o",
                color=_colour(row.kernels), alpha=0.65, edgecolors="black", linewidths=0.4,
            )  # fmt: skip
        axes.scatter([], [], s=40, color=_colour(row.kernels), label=row.kernels)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_major_formatter("{x:g}")
    for text, x_at, y_at in _furthest(rows[-1]):
        is_left = x_at < np.sqrt(x[0] * x[-1])
        axes.annotate(
            text, (x_at, y_at), xytext=(8 if is_left else -8, -13), textcoords="offset points",
            ha="left" if is_left else "right", fontsize=8,
        )  # fmt: skip
    axes.margins(y=0.12)
    axes.grid(True, which="major", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("products for each output")
    axes.set_ylabel("products for each instruction")
    axes.set_title(
        f"layers under the roof of {core.value}; area: share of its set's instructions",
        fontsize=10,
    )
    axes.legend(fontsize=8, loc="best")


def _furthest(row: Row) -> list[tuple[str, float, float]]:
    """Names and places of the layers that have most instructions above their floors."""
    places: dict[tuple[float, float], list[LayerRow]] = {}
    for layer in row.layers:
        if _is_shown(layer):
            at = (layer.products_per_output or 1.0, round(layer.macs / layer.instructions, 2))
            places.setdefault(at, []).append(layer)

    def excess(layers: list[LayerRow]) -> float:
        return sum(layer.instructions - (layer.floor or 0) for layer in layers)

    named = []
    for (x, y), layers in sorted(places.items(), key=lambda place: -excess(place[1]))[:NAMED]:
        others = f" and {len(layers) - 1} more" if len(layers) > 1 else ""
        named.append((f"{layers[0].name}{others}, x {layers[0].distance:.2f}", x, y))
    return named


def _is_shown(layer: LayerRow) -> bool:
    return layer.shape in MARKS and bool(layer.macs)


def _line(shape: Shape) -> str:
    return {"dense": "-", "vector": "-.", "depthwise": ":"}.get(shape, "-")


def _colour(kernels: str) -> str:
    return COLOURS[kernels]
