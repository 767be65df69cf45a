"""`--version`: which version of a store a command reads."""

import re
from typing import Annotated

import typer

VersionOption = Annotated[
    str | None,
    typer.Option("--version", help="Read an earlier version: its number or tag; see embedstore log.", metavar="N|TAG"),
]


def asked_version(text: str | None) -> int | str | None:
    """Return what `embedstore.open` takes: a number where the text is one, which no tag can be."""
    return None if text is None else numbered(text)


def numbered(text: str) -> int | str:
    """Return a number where a text is one, else the text, which names a tag."""
    return int(text) if re.fullmatch(r"-?\d+", text) else text
