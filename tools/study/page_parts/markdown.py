"""Pieces of a Markdown document in two languages: tables, lists, pictures, and figures as a reader expects them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import escape

from distill.evaluation.intervals import Difference
from embedstore.pages import Text, Words, number
from embedstore.pages.words import NO_NUMBER, in_language

LANGUAGES = {"en": "", "ja": ".ja"}  # language -> what stands before the ending of a file in it


@dataclass(frozen=True)
class Table:
    """A table: the first columns to the left, all others, which are figures, to the right.

    Attributes:
        columns: headings.
        rows: as many cells each.
        texts: how many columns are texts.
    """

    columns: Sequence[Words]
    rows: Sequence[Sequence[Words]]
    texts: int = 1


@dataclass(frozen=True)
class Folded:
    """A table that a reader opens on demand."""

    title: Text
    table: Table


@dataclass(frozen=True)
class Shown:
    """A picture, by its name, and what it says for those who can't see it."""

    name: str
    says: Words


@dataclass(frozen=True)
class Bullets:
    """A list."""

    items: Sequence[Words]


Piece = Words | Table | Folded | Shown | Bullets | Sequence["Piece"] | None


def written(piece: Piece, language: str, pictures: str) -> str:
    """Return Markdown; nothing for None, and several pieces below one another.

    Args:
        piece: what to write.
        language: `en` or `ja`.
        pictures: the folder of the pictures, as the document names it.
    """
    match piece:
        case None:
            said = ""
        case str() | Text():
            said = in_language(piece, language)
        case Bullets(items):
            said = "\n".join(f"- {in_language(item, language)}" for item in items)
        case Table(columns, rows, texts):
            rule = ["---"] * texts + ["---:"] * (len(columns) - texts)
            lines = [columns, rule, *rows]
            said = "\n".join(f"| {' | '.join(in_language(cell, language) for cell in line)} |" for line in lines)
        case Folded(title, table):
            head = f"<details><summary>{escape(in_language(title, language))}</summary>"
            said = f"{head}\n\n{written(table, language, pictures)}\n\n</details>"
        case Shown(name, says):
            wide, narrow = (f"{pictures}/{name}{width}{LANGUAGES[language]}.svg" for width in ("", ".narrow"))
            said = (
                f'<picture><source media="(max-width: 900px)" srcset="{narrow}">'
                f'<img src="{wide}" alt="{escape(in_language(says, language))}"></picture>'
            )
        case _:
            said = "\n\n".join(written(one, language, pictures) for one in piece)
    return said


def code(name: str) -> str:
    """Return a name as it is typed."""
    return f"`{name}`"


def codes(names: Iterable[str]) -> Text:
    """Return names as they are typed, in a row."""
    typed = [code(name) for name in names]
    return Text(", ".join(typed), "、".join(typed))


def share(value: float | None, digits: int = 3, *, signed: bool = False) -> str:
    """Return a share (0 to 1), or a difference of two, without the zero before the point."""
    text = number(value, digits, signed=signed)
    return text.replace("0.", ".", 1) if text.lstrip("+−").startswith("0.") else text


def between(low: float | None, high: float | None, digits: int = 3) -> Text:
    """Return an interval; a dash where there is none."""
    if low is None or high is None:
        return Text(NO_NUMBER, NO_NUMBER)
    return Text(f"{share(low, digits)} to {share(high, digits)}", f"{share(low, digits)}～{share(high, digits)}")


def with_interval(value: float | None, low: float | None, high: float | None, digits: int = 2) -> Text:
    """Return a share with its interval."""
    span, said = between(low, high, digits), share(value, digits)
    return Text(said, said) if low is None else Text(f"{said} ({span.en})", f"{said}（{span.ja}）")


def gap(value: float | None, low: float | None, high: float | None) -> Text:
    """Return a difference with its interval, bold where that excludes zero; a dash for None."""
    said, span = share(value, signed=True), between(low, high)
    if low is None or high is None:
        return Text(said, said)
    mark = "**" if low > 0 or high < 0 else ""
    return Text(f"{mark}{said}{mark} ({span.en})", f"{mark}{said}{mark}（{span.ja}）")


def gap_of(one: Difference | None) -> Text:
    """Return a paired difference with its interval; a dash where there is none."""
    return gap(None, None, None) if one is None else gap(one.value, one.low, one.high)


def size(nbytes: float | None) -> str:
    """Return a number of bytes with three digits."""
    if nbytes is None:
        return NO_NUMBER
    for unit, worth in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if nbytes >= worth:
            digits = 2 if nbytes < 10 * worth else 1 if nbytes < 100 * worth else 0
            return f"{nbytes / worth:.{digits}f} {unit}"
    return f"{nbytes:.0f} B"
