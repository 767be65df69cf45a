"""Bars that are cut in two: how many of how many were caught, and how many missed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from markupsafe import Markup

from embedstore.errors import SettingsError
from embedstore.pages.svg import NO_DATA, WIDE, chart_figure, in_words, label, tag, text_width
from embedstore.pages.words import Text, Words, in_language, number, percent

NAME_ROOM = 260.0
CAUGHT, MISSED = Text("caught", "検出"), Text("missed", "見逃し")


@dataclass(frozen=True)
class Share:
    """How many of how many.

    Attributes:
        name: of the row.
        part: how many were caught; may be fractional, as an expected number over seeds is; None: no data.
        whole: of how many.
        group: rows of one group, which must follow one another, get its name as a heading.
    """

    name: Words
    part: float | None
    whole: float
    group: Words | None = None

    def __post_init__(self) -> None:
        if self.known() and not 0 <= (self.part or 0) <= self.whole:
            raise SettingsError(
                f"Row {in_language(self.name, 'en')!r} has {self.part} of {self.whole}; the part must lie between 0 and "
                "the whole."
            )

    def known(self) -> bool:
        """Whether there is something to draw."""
        return self.part is not None and math.isfinite(self.part) and self.whole > 0


def share_chart(
    shares: Sequence[Share],
    *,
    title: Words,
    caught: Words = CAUGHT,
    missed: Words = MISSED,
    note: Words | None = None,
) -> Markup:
    """Return one bar a row, cut into what was caught and what was missed, with the numbers beside it.

    All bars are equally long, so that a rare kind is as easy to read.

    Args:
        shares: the rows, from top to bottom.
        title: caption of the figure.
        caught: what the first part is called.
        missed: what the rest is called.
        note: below the chart.
    """

    def describe(language: str) -> str:
        rows: list[tuple[Words, Words]] = []
        for one in shares:
            group = "" if one.group is None else in_language(one.group, language) + ", "
            written = f"{in_language(caught, language)} {in_language(_written(one), language)}"
            rows.append((group + in_language(one.name, language), written))
        return in_words(rows, language)

    draw = partial(_draw, shares, (caught, missed))
    return chart_figure(draw, title=title, describe=describe, note=note)


def _count(value: float) -> str:
    return number(value, 0 if abs(value - round(value)) < 0.05 else 1)


def _written(one: Share) -> Words:
    if one.part is None or not one.known():
        return NO_DATA
    part, whole, share = _count(one.part), _count(one.whole), percent(one.part / one.whole)
    return Text(f"{part} of {whole} · {share}", f"{whole} 件中 {part} 件 · {share}")


def _draw(shares: Sequence[Share], parts: tuple[Words, Words], language: str, width: int) -> tuple[Markup, float]:
    wide = width == WIDE
    names = [in_language(one.name, language) for one in shares]
    texts = [in_language(_written(one), language) for one in shares]
    left = 20 + min(NAME_ROOM, max(map(text_width, names), default=0)) if wide else 0
    right = 20 + max(map(text_width, texts), default=0) if wide else 0

    drawn = []
    at_x = left
    for words, kind in zip(parts, ("caught", "missed"), strict=True):
        text = in_language(words, language)
        drawn.append(tag("rect", x=at_x, y=4, width=14, height=14, class_=kind))
        drawn.append(label(at_x + 21, 16, text, class_="tick"))
        at_x += 41 + text_width(text)

    top, group = 32.0, None
    for one, name, text in zip(shares, names, texts, strict=True):
        if one.group is not None and one.group != group:
            top += 12 if group is not None else 2
            drawn.append(label(0, top + 14, in_language(one.group, language), width=width, class_="group"))
            top += 26
        group = one.group
        bar = top if wide else top + 22
        base = bar + 17 if wide else bar - 7
        name_room = left - 16 if wide else width - 12 - text_width(text)
        drawn.append(label(0, base, name, width=name_room, class_="name"))
        drawn.append(label(width, base, text, text_anchor="end", class_="value" if one.known() else "tick"))
        if one.known():
            drawn += _bar(one, left, bar, width - left - right)
        top = bar + (33 if wide else 38)
    if not shares:
        drawn.append(label(width / 2, top + 14, in_language(NO_DATA, language), text_anchor="middle", class_="tick"))
        top += 24
    return Markup("").join(drawn), top


def _bar(one: Share, left: float, top: float, length: float) -> list[Markup]:
    """Draw both parts; a part above zero is never thinner than can be seen."""
    caught = float(one.part or 0)
    missed = one.whole - caught
    cut = length * caught / one.whole
    if caught and missed:
        cut = min(max(cut, 3.0), length - 4.0)
    drawn = []
    if caught:
        drawn.append(tag("rect", x=left, y=top, width=cut, height=24, class_="caught"))
    if missed:
        gap = 2 if caught else 0
        drawn.append(tag("rect", x=left + cut + gap, y=top, width=length - cut - gap, height=24, class_="missed"))
        if length - cut > text_width(_count(missed)) + 14:
            end = left + length - 8
            drawn.append(label(end, top + 17, _count(missed), text_anchor="end", class_="on-fill"))
    return drawn
