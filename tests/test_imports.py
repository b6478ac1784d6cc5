"""Imports go one way: each sub-package knows only those above it in the list."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "host" / "tinyseal"
# Two of one rank are modules of the top level; `cli` sits on everything.
ORDER = [
    "errors",
    "strict",
    "board",
    "profiles",
    "graph",
    "optimise",
    "plan",
    "codegen",
    "build",
    "package",
    "device",
    "virtual",
    "bench",
    "torture",
    "fleet",
    "cli",
]
TOUCHES = {"serial", "subprocess", "socket"}  # opened only at the edge
EDGE = {"build", "device", "virtual", "bench", "torture", "fleet", "cli"}


def room(path: Path) -> str:
    """The sub-package (or top-level module) a file belongs to."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(path: Path) -> list[str]:
    """Dotted names of the modules a file imports, wherever in it."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            assert node.module is not None
            if node.module == "tinyseal":
                names += [f"tinyseal.{alias.name}" for alias in node.names]
            else:
                names.append(node.module)
    return names


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_rooms_above(path):
    here = room(path)
    if here == "__init__":
        assert not [n for n in imported(path) if n.startswith("tinyseal")]
        return
    assert here in ORDER, f"{here} is not in the list of rooms"
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "tinyseal" and len(parts) > 1 and parts[1] != "__version__":
            assert parts[1] in ORDER, f"imports {name}"
            assert ORDER.index(parts[1]) <= ORDER.index(here), f"{here} imports {name}"
        if parts[0] in TOUCHES:
            assert here in EDGE, f"{here} imports {name}, which touches the world"


def test_every_room_has_files():
    assert {room(p) for p in FILES} >= {"errors", "board", "graph", "plan", "codegen", "cli"}
