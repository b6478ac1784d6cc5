"""README.md lists what there is."""

import re
from pathlib import Path

from tinyseal.board import BOARDS_DIR
from tinyseal.graph.ops import LOWERINGS

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()


def test_boards_are_those_of_the_profiles():
    table = re.findall(r"^\| `([a-z0-9_-]+)` \|", README, re.MULTILINE)
    assert set(table) == {p.stem for p in BOARDS_DIR.glob("*.toml")}


def test_operators_are_those_that_can_be_lowered():
    paragraph = README.partition("## Operators\n\n")[2].partition("\n\n")[0]
    named = set(re.findall(r"\b[A-Z][A-Z0-9_]{2,}\b", paragraph))
    supported = {k.value for k in LOWERINGS if not k.value.startswith("BINARY_")}
    assert named == supported, "README.md lists other operators than graph/ops has"
