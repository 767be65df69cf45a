"""Histograms: how often each value occurs, and where single values lie among them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from embedstore.pages.svg import (
    NO_DATA,
    TEXT_SIZE,
    WIDE,
    Scale,
    chart_figure,
    extent,
    in_words,
    label,
    tag,
    text_width,
    tick_step,
    tick_text,
    ticks,
)
from embedstore.pages.words import Text, Words, in_language, number

HEIGHT = 96.0
MOST_BINS = 48
_ROW = 22.0  # of a mark's words


@dataclass(frozen=True)
class Mark:
    """A value that stands out among the others.

    Attributes:
        value: where it lies.
        words: above its line.
        strong: whether it is what the chart is about.
    """

    value: float
    words: Words
    strong: bool = False


def histogram(
    values: npt.ArrayLike,
    *,
    title: Words,
    marks: Sequence[Mark] = (),
    around: Sequence[float] = (),
    note: Words | None = None,
) -> Markup:
    """Return bars over equal steps of a value, as high as values are many, and a line for each mark.

    Args:
        values: (n,); what is not finite is left out.
        title: caption of the figure.
        marks: values to point at.
        around: values that must lie on the axis too, so that several histograms can be compared.
        note: below the chart.
    """
    given = np.asarray(values, np.float64).ravel()
    finite = given[np.isfinite(given)]
    pointed = [mark for mark in marks if math.isfinite(mark.value)]
    low, high = extent(finite, around=[*around, *(mark.value for mark in pointed)])

    def describe(language: str) -> str:
        rows: list[tuple[Words, Words]] = [(mark.words, number(mark.value, 2)) for mark in pointed]
        if len(finite):
            middle = number(float(np.median(finite)), 2)
            rows.append((Text("median", "中央値"), middle))
            rows.append((Text("values", "件数"), number(len(finite), 0)))
        return in_words(rows, language)

    draw = partial(_draw, finite, pointed, (low, high))
    return chart_figure(draw, title=title, describe=describe, note=note)


def _draw(
    values: npt.NDArray[np.float64], marks: Sequence[Mark], ends: tuple[float, float], language: str, width: int
) -> tuple[Markup, float]:
    low, high = ends
    step = tick_step(low, high, 10 if width == WIDE else 5)
    first, last = math.floor(low / step) * step, math.ceil(high / step) * step
    edge = text_width(tick_text(first, step, "number")) / 2
    x = Scale(first, last, edge, width - edge)
    places, rows = _places([(x(mark.value), in_language(mark.words, language)) for mark in marks], width)
    top = rows * _ROW + 6
    base = top + HEIGHT
    drawn = [tag("line", x1=x(at), x2=x(at), y1=top, y2=base + 5, class_="grid") for at in ticks(first, last, step)]
    drawn += _bars(values, (first, last), x, top)
    drawn.append(tag("line", x1=edge, x2=width - edge, y1=base, y2=base, class_="grid zero"))
    drawn += [
        label(x(at), base + 22, tick_text(at, step, "number"), text_anchor="middle", class_="tick")
        for at in ticks(first, last, step)
    ]
    for mark, (at, row) in zip(marks, places, strict=True):
        kind = "mark strong" if mark.strong else "mark"
        under = row * _ROW + 18
        drawn.append(tag("line", x1=x(mark.value), x2=x(mark.value), y1=under + 4, y2=base, class_=kind))
        text = in_language(mark.words, language)
        drawn.append(label(at, under, text, width=width, class_="mark-name strong" if mark.strong else "mark-name"))
    if not len(values):
        drawn.append(label(width / 2, base - 36, in_language(NO_DATA, language), text_anchor="middle", class_="tick"))
    return Markup("").join(drawn), base + 30


def _bars(values: npt.NDArray[np.float64], ends: tuple[float, float], x: Scale, top: float) -> list[Markup]:
    """Draw the bars; one picture among thousands is still seen."""
    if not len(values):
        return []
    bins = int(min(MOST_BINS, max(8, 2 * math.ceil(math.sqrt(len(values))))))
    counts, edges = np.histogram(values, bins=bins, range=ends)
    drawn = []
    for count, left, right in zip(counts.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if count:
            high = max(2.0, HEIGHT * count / int(counts.max()))
            wide = max(1.0, x(right) - x(left) - 1)
            drawn.append(tag("rect", x=x(left), y=top + HEIGHT - high, width=wide, height=high, class_="bar-fill"))
    return drawn


def _places(marks: Sequence[tuple[float, str]], width: int) -> tuple[list[tuple[float, int]], int]:
    """Return where the words of each mark begin and in which row they stand, so that none covers another; and the rows."""
    ends: list[float] = []
    found: dict[int, tuple[float, int]] = {}
    for at in sorted(range(len(marks)), key=lambda one: marks[one][0]):
        place, text = marks[at]
        wide = min(text_width(text, TEXT_SIZE), float(width))
        start = min(max(0.0, place - wide / 2), width - wide)
        row = next((row for row, end in enumerate(ends) if end + 10 <= start), len(ends))
        ends[row : row + 1] = [start + wide]
        found[at] = (start, row)
    return [found[at] for at in range(len(marks))], len(ends)
