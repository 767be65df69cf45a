"""Tables: numbers to the right under one another, the best and the worst of a column marked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal

from markupsafe import Markup

from embedstore.errors import SettingsError
from embedstore.pages.markup import part
from embedstore.pages.words import NO_NUMBER, NumberForm, Text, Words, figure

Value = Words | float | int | None

BEST = Text("best", "最良")
WORST = Text("worst", "最低")


@dataclass(frozen=True)
class Column:
    """How one column is shown.

    Attributes:
        title: its heading.
        form: `text`; or, to the right: `number`, `percent` (a share, 0 to 1), `points` (a difference of two shares).
        digits: decimals; None: none for integers, else 3 for `number`, 1 for `percent` and `points`.
        better: mark the best number of the column: the `higher` or the `lower` one; None: mark nothing.
        mark_worst: mark the worst one too.
        note: a smaller line below the heading, such as the unit.
    """

    title: Words
    form: NumberForm | Literal["text"] = "text"
    digits: int | None = None
    better: Literal["higher", "lower"] | None = None
    mark_worst: bool = False
    note: Words | None = None


@dataclass(frozen=True)
class Cell:
    """A value with a smaller line below it, such as its interval."""

    value: Value
    note: Words | None = None


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Value | Cell]],
    *,
    caption: Words,
    note: Words | None = None,
    emphasised: Sequence[int] = (),
) -> Markup:
    """Return a table; the first column names its rows.

    Args:
        columns: from left to right.
        rows: from top to bottom, one value or `Cell` per column. None and NaN become a dash; text may stand in a column
            of numbers.
        caption: what the table shows.
        note: below it: how it was measured, what a mark means.
        emphasised: numbers of rows to print bold.

    Raises:
        SettingsError: a row is longer or shorter than the columns.
    """
    for at, row in enumerate(rows):
        if len(row) != len(columns):
            raise SettingsError(f"Row {at} of a table has {len(row)} cells, but there are {len(columns)} columns.")
    cells = [[value if isinstance(value, Cell) else Cell(value) for value in row] for row in rows]
    marks = [_marks(column, [row[at].value for row in cells]) for at, column in enumerate(columns)]
    shown: list[dict[str, Any]] = [
        {
            "emphasised": at in emphasised,
            "cells": [
                {
                    "text": _shown(cell.value, column),
                    "note": cell.note,
                    "mark": marks[place][at],
                    "classes": " ".join(filter(None, ("" if column.form == "text" else "numeric", marks[place][at]))),
                }
                for place, (cell, column) in enumerate(zip(row, columns, strict=True))
            ],
        }
        for at, row in enumerate(cells)
    ]
    return part("table", columns=columns, rows=shown, caption=caption, note=note, words={"best": BEST, "worst": WORST})


def _shown(value: Value, column: Column) -> Words:
    if isinstance(value, str | Text):
        return value
    if column.form == "text":
        return NO_NUMBER if value is None else str(value)
    whole = column.form == "number" and isinstance(value, Integral)
    return figure(value, column.form, 0 if whole and column.digits is None else column.digits)


def _marks(column: Column, values: Sequence[Value]) -> list[str | None]:
    """Mark what is shown alike in the same way, and nothing where all is shown alike."""
    marks: list[str | None] = [None] * len(values)
    numbers = {
        at: float(value)
        for at, value in enumerate(values)
        if value is not None and not isinstance(value, str | Text) and math.isfinite(value)
    }
    texts = {at: _shown(values[at], column) for at in numbers}
    if column.better is None or len(set(texts.values())) < 2:
        return marks
    low, high = min(numbers, key=numbers.__getitem__), max(numbers, key=numbers.__getitem__)
    best, worst = (high, low) if column.better == "higher" else (low, high)
    for at, text in texts.items():
        if text == texts[best]:
            marks[at] = "best"
        elif column.mark_worst and text == texts[worst]:
            marks[at] = "worst"
    return marks
