"""`--version`: which version of a store a command reads."""

import re
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from embedstore import EmbeddingStore

VersionOption = Annotated[
    str | None,
    typer.Option("--version", help="Read an earlier version: its number or tag; see embedstore log.", metavar="N|TAG"),
]


def asked_version(text: str | None) -> int | str | None:
    """Return what `embedstore.open` takes: a number where the text is one, which no tag can be."""
    return None if text is None else numbered(text)


def number_in(store: "EmbeddingStore", text: str) -> int:
    """Return the number of a store's version, which a text gives or names by a tag; an unknown tag is refused."""
    return store.number_of(numbered(text))


def numbered(text: str) -> int | str:
    """Return a number where a text is one, else the text, which names a tag."""
    return int(text) if re.fullmatch(r"-?\d+", text) else text
