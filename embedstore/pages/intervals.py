"""Dots with intervals: estimates such as paired differences, and whether they exclude zero."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from markupsafe import Markup

from embedstore.pages.svg import (
    NO_DATA,
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
from embedstore.pages.words import NumberForm, Text, Words, figure, in_language

NAME_ROOM = 260.0


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval; None or NaN in one of them: no data."""

    name: Words
    estimate: float | None
    low: float | None
    high: float | None

    def values(self) -> tuple[float, float, float] | None:
        """Return estimate, low and high, or None where there is no data."""
        if self.estimate is None or self.low is None or self.high is None:
            return None
        values = float(self.estimate), float(self.low), float(self.high)
        return values if all(map(math.isfinite, values)) else None


@dataclass(frozen=True)
class _Look:
    x_title: Words
    form: NumberForm
    digits: int | None
    worse: Words | None
    better: Words | None


def interval_chart(
    intervals: Sequence[Interval],
    *,
    title: Words,
    x_title: Words,
    form: NumberForm = "points",
    digits: int | None = None,
    worse: Words | None = None,
    better: Words | None = None,
    note: Words | None = None,
) -> Markup:
    """Return one dot with its interval a row, over a line at zero; filled where the interval excludes zero.

    Args:
        intervals: the rows, from top to bottom.
        title: caption of the figure.
        x_title: what is measured.
        form: how the figures are written: `number`, `percent` or `points`.
        digits: decimals; None: 3 for `number`, else 1.
        worse: what lies to the left of zero, such as "misses more".
        better: what lies to the right.
        note: below the chart.
    """
    look = _Look(x_title, form, digits, worse, better)

    def describe(language: str) -> str:
        return in_words([(one.name, _written(one, look)) for one in intervals], language)

    return chart_figure(partial(_draw, intervals, look), title=title, describe=describe, note=note)


def _written(one: Interval, look: _Look) -> Words:
    values = one.values()
    if values is None:
        return NO_DATA
    estimate, low, high = (figure(value, look.form, look.digits) for value in values)
    return Text(f"{estimate} ({low} to {high})", f"{estimate} ({low} ～ {high})")


def _draw(intervals: Sequence[Interval], look: _Look, language: str, width: int) -> tuple[Markup, float]:
    wide = width == WIDE
    names = [in_language(one.name, language) for one in intervals]
    texts = [in_language(_written(one, look), language) for one in intervals]
    low, high = extent((value for one in intervals for value in one.values() or ()), around=(0.0,))
    margin = 0.04 * (high - low)
    left = 20 + min(NAME_ROOM, max(map(text_width, names), default=0)) if wide else 10
    right = 20 + max(map(text_width, texts), default=0) if wide else 10
    x = Scale(low - margin, high + margin, start=left, end=width - right)
    top, row_height = (30 if look.worse or look.better else 6), 38 if wide else 58
    bottom = top + row_height * max(1, len(intervals))

    drawn = []
    step = tick_step(x.low, x.high, 8 if wide else 5)
    for value in ticks(x.low, x.high, step):
        kind = "grid" if value else "grid zero"
        drawn.append(tag("line", x1=x(value), x2=x(value), y1=top, y2=bottom, class_=kind))
        text = tick_text(value, step, look.form)
        drawn.append(label(x(value), bottom + 22, text, text_anchor="middle", class_="tick"))
    if look.worse:
        text = f"← {in_language(look.worse, language)}"
        place, anchor, room = (x(0) - 10, "end", x(0) - 10) if wide else (0.0, "start", width / 2)
        drawn.append(label(place, 18, text, width=room, text_anchor=anchor, class_="tick"))
    if look.better:
        text = f"{in_language(look.better, language)} →"
        place, anchor, room = (x(0) + 10, "start", width - x(0) - 10) if wide else (width, "end", width / 2)
        drawn.append(label(place, 18, text, width=room, text_anchor=anchor, class_="tick"))
    x_title = in_language(look.x_title, language)
    drawn.append(label(x.end, bottom + 44, x_title, width=x.end, text_anchor="end", class_="axis-title"))

    for at, (one, name, text) in enumerate(zip(intervals, names, texts, strict=True)):
        line = top + row_height * at + (19 if wide else 42)
        base = line + 5 if wide else line - 18
        name_room = left - 16 if wide else width - 12 - text_width(text)
        values = one.values()
        drawn.append(label(0, base, name, width=name_room, class_="name"))
        drawn.append(label(width, base, text, text_anchor="end", class_="value" if values else "tick"))
        if values:
            estimate, start, end = values
            sure = "sure" if start > 0 or end < 0 else "unsure"
            drawn.append(tag("line", x1=x(start), x2=x(end), y1=line, y2=line, class_=f"interval {sure}"))
            drawn.append(tag("circle", cx=x(estimate), cy=line, r=6, class_=f"estimate {sure}"))
    if not intervals:
        middle = (x.start + x.end) / 2, top + 24
        drawn.append(label(*middle, in_language(NO_DATA, language), text_anchor="middle", class_="tick"))
    return Markup("").join(drawn), bottom + 52
