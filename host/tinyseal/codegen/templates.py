"""The templates under codegen_templates/, with their filters; undefined names stop generation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import jinja2

from tinyseal import __version__
from tinyseal.codegen import literals

TEMPLATES_DIR: Final = Path(__file__).resolve().parents[3] / "codegen_templates"


def render(template: str, **values: Any) -> str:
    """The text of `<template>.j2`, which also sees `version`."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES_DIR),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters |= {
        "c_values": literals.c_values,
        "c_float": literals.c_float,
        "c_hex": literals.c_hex,
        "c_string": literals.c_string,
    }
    return environment.get_template(f"{template}.j2").render(version=__version__, **values)
