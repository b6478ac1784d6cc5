"""Memory drawn: the arena over time, and a board's memories and partitions."""

from __future__ import annotations

import html
import itertools
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from tinyseal.plan.model import Held, Plan

SYMBOLS: Final = string.ascii_uppercase + string.ascii_lowercase + string.digits
STYLES: Final = (
    "black on cyan",
    "black on yellow",
    "black on green",
    "black on magenta",
    "white on blue",
    "black on red",
    "black on white",
)  # fmt: skip
FILLS: Final = ("#8dd3c7", "#ffffb3", "#bebada", "#fb8072", "#80b1d3", "#fdb462", "#b3de69")
ARENA_ROWS: Final = 20  # aimed at; every boundary gets a row, so there may be more


@dataclass(frozen=True)
class Drawn:
    """A held buffer with its mark in the drawing."""

    held: Held
    symbol: str
    style: str
    fill: str


def marked(plan: Plan) -> list[Drawn]:
    """The buffers of a plan in the order they come to life, each with a mark."""
    shown = sorted(
        (h for h in plan.held if h.buffer.bytes),
        key=lambda h: (h.buffer.region, h.first, h.buffer.offset),
    )
    return [
        Drawn(h, SYMBOLS[i % len(SYMBOLS)], STYLES[i % len(STYLES)], FILLS[i % len(FILLS)])
        for i, h in enumerate(shown)
    ]


def arena_text(plan: Plan, region: int, width: int) -> Iterator[Text]:
    """Steps across, offsets down: a line per row. Each boundary of a buffer starts a row."""
    blocks = [d for d in marked(plan) if d.held.buffer.region == region]
    slots = range(-1, len(plan.steps) + 1)
    per_column = -(-len(slots) // max(1, width - 10))  # steps that share a column
    cell = max(1, min(4, (width - 10) // len(slots)))
    columns = [slots[i : i + per_column] for i in range(0, len(slots), per_column)]
    edges = sorted({0, plan.arena_bytes[region]}.union(
        *({d.held.buffer.offset, d.held.buffer.offset + d.held.buffer.bytes} for d in blocks)
    ))  # fmt: skip
    head = Text(" " * 9)
    for column in columns:
        name = "in" if column[0] < 0 else str(column[0])
        if column[-1] == len(plan.steps):
            name = "out" if cell > 2 else "o"
        shown = name if len(name) < cell or (cell == 1 and len(name) == 1) else ""
        head.append(shown[:cell].ljust(cell), "dim")
    yield head
    for low, high in itertools.pairwise(edges):
        rows = max(1, round(ARENA_ROWS * (high - low) / plan.arena_bytes[region]))
        for row in range(rows):
            line = Text(f"{low:>8} " if row == 0 else " " * 9, "dim")
            for column in columns:
                there = [
                    d
                    for d in blocks
                    if d.held.buffer.offset <= low < d.held.buffer.offset + d.held.buffer.bytes
                    and d.held.first <= column[-1]
                    and d.held.last >= column[0]
                ]
                mark = there[0].symbol if there else "·"
                line.append(mark * cell, there[0].style if there else "dim")
            yield line
    yield Text(f"{plan.arena_bytes[region]:>8}", "dim")


def arena_svg(plan: Plan) -> str:
    """The same as a picture: one band a region, buffers to scale, names on hover."""
    width, height, left, top = 960.0, 360.0, 70.0, 30.0
    slots = len(plan.steps) + 2
    column = (width - left - 10) / slots
    regions = [r for r, size in enumerate(plan.arena_bytes) if size]
    total = (height + 60) * max(len(regions), 1)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {total:g}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{width:g}" height="{total:g}" fill="white"/>',
    ]
    for band, region in enumerate(regions):
        y0 = band * (height + 60) + top
        size = plan.arena_bytes[region]
        memory = plan.board.arena_regions[region]
        title = f"{plan.graph.name} on {plan.board.name}: {size} B of {memory.name}"
        lines.append(f'<text x="{left:g}" y="{y0 - 12:g}">{html.escape(title)}</text>')
        for quarter in range(5):
            y = y0 + height * quarter / 4
            lines.append(
                f'<text x="{left - 6:g}" y="{y + 4:g}" text-anchor="end">'
                f"{size * quarter // 4}</text>"
            )
        for step in plan.steps:
            x = left + column * (step.index + 1.5)
            lines.append(
                f'<text x="{x:.1f}" y="{y0 + height + 14:g}" text-anchor="middle">'
                f"{step.index}<title>{html.escape(step.label)}</title></text>"
            )
        for drawn in marked(plan):
            held, buffer = drawn.held, drawn.held.buffer
            if buffer.region != region:
                continue
            x, w = left + column * (held.first + 1), column * (held.last - held.first + 1)
            y, h = y0 + height * buffer.offset / size, height * buffer.bytes / size
            name = html.escape(f"{held.name}: {buffer.bytes} B at {buffer.offset}")
            lines.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{max(h, 0.5):.1f}" '
                f'fill="{drawn.fill}" stroke="black" stroke-width="0.5">'
                f"<title>{name}</title></rect>"
            )
            if h > 12 and w > 7 * len(held.name):
                lines.append(
                    f'<text x="{x + 4:.1f}" y="{y + h / 2 + 4:.1f}">{html.escape(held.name)}</text>'
                )
    return "\n".join([*lines, "</svg>", ""])


@dataclass(frozen=True)
class Range:
    """A named part of an address range; "" is unused room."""

    name: str
    start: int
    bytes: int


def ranges_with_gaps(parts: Sequence[Range], start: int, end: int) -> list[Range]:
    """`parts`, ascending, and the room between them."""
    out: list[Range] = []
    for part in sorted(parts, key=lambda p: p.start):
        if part.start > start:
            out.append(Range("", start, part.start - start))
        out.append(part)
        start = part.start + part.bytes
    if end > start:
        out.append(Range("", start, end - start))
    return out


def ranges_text(parts: Sequence[Range], height: int, width: int = 24) -> Iterator[Text]:
    """Boxes to scale, lowest address first; every part gets at least one row."""
    total = sum(p.bytes for p in parts)
    for number, part in enumerate(parts):
        yield Text(f"0x{part.start:08x} ├{'─' * width}┤")
        rows = max(1, round(height * part.bytes / total))
        style = STYLES[number % len(STYLES)] if part.name else "dim"
        for row in range(rows):
            middle = row == (rows - 1) // 2
            text = f" {part.name or 'free'}" if middle else ""
            line = Text(" " * 11 + "│")
            line.append(text.ljust(width), style)
            line.append(f"│ {size_text(part.bytes)}" if middle else "│")
            yield line
    yield Text(f"0x{parts[-1].start + parts[-1].bytes:08x} ├{'─' * width}┤")


def size_text(size: int) -> str:
    """Bytes as people write memory sizes, exactly: 256 KiB, 1000 B."""
    for unit, factor in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor and size % factor == 0:
            return f"{size // factor} {unit}"
    return f"{size} B"
