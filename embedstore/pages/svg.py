"""Drawing: scales, ticks, the width of text, and the figure around a chart.

A drawing with a fixed layout would shrink its text on a phone. So each chart is drawn twice, `WIDE` and `NARROW`, and
the style sheet shows the fitting one at its natural size.
"""

import math
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from embedstore.pages.markup import part
from embedstore.pages.words import NumberForm, Text, Words, figure, for_each_language, in_language

WIDE, NARROW = 880, 360  # units; one is a CSS pixel where the page has the room
TEXT_SIZE = 14
NO_DATA = Text("no data", "データなし")


@dataclass(frozen=True)
class Scale:
    """A linear map from data to drawing units: `low` lies at `start`, `high` at `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return where a value lies."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def extent(values: Iterable[float], *, around: Sequence[float] = ()) -> tuple[float, float]:
    """Return the lowest and highest finite value, never equal: a constant gets room on both sides, nothing gets 0 to 1.

    Args:
        values: the data; NaN and infinity are left out.
        around: values that must lie inside too.
    """
    finite = [value for value in (*values, *around) if math.isfinite(value)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # a difference that the ticks could not tell apart
        room = 0.1 * abs(low) or 0.5
        return low - room, high + room
    return low, high


def tick_step(low: float, high: float, most: int) -> float:
    """Return the smallest step of the form 1, 2 or 5 times a power of ten that cuts low..high into at most `most` parts."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))


def ticks(low: float, high: float, step: float) -> list[float]:
    """Return the multiples of `step` from low to high, both ends inside."""
    slack = 1e-9
    first, last = math.ceil(low / step - slack), math.floor(high / step + slack)
    return [round(at * step, 12) for at in range(first, last + 1)]


def tick_text(value: float, step: float, form: NumberForm) -> str:
    """Return the label of a tick with as many decimals as the step needs."""
    decimals = -math.floor(math.log10(step) + 1e-9) - (0 if form == "number" else 2)
    return figure(value, form, max(0, decimals))


def text_width(text: str, size: float = TEXT_SIZE) -> float:
    """Estimate the width of a text in drawing units, on the generous side; fonts differ."""
    ems = {"W": 1.0, "F": 1.0, "A": 0.8}
    return size * sum(
        0.0 if unicodedata.combining(letter)
        else ems.get(unicodedata.east_asian_width(letter), 0.68 if letter.isupper() else 0.58)
        for letter in text
    )  # fmt: skip


def shorten(text: str, width: float, size: float = TEXT_SIZE) -> str:
    """Cut a text that is wider than `width`, keeping its beginning and, since file names differ there, its end."""
    if text_width(text, size) <= width:
        return text
    for kept in range(len(text) - 1, 0, -1):
        head, tail = text[: kept - kept // 3], text[len(text) - kept // 3 :]
        if text_width(f"{head}…{tail}", size) <= width:
            return f"{head}…{tail}"
    return "…"


def tag(tag_name: str, *content: Markup | str, **attributes: str | float | None) -> Markup:
    """Return an SVG element; attributes of None are left out, `_` becomes `-`, numbers get two decimals."""
    written = Markup("").join(
        Markup(' {}="{}"').format(
            name.rstrip("_").replace("_", "-"), f"{value:.2f}".rstrip("0").rstrip(".") if not isinstance(value, str) else value
        )
        for name, value in attributes.items()
        if value is not None
    )  # fmt: skip
    return Markup("<{0}{1}>{2}</{0}>").format(tag_name, written, Markup("").join(escape(one) for one in content))


def label(x: float, y: float, text: str, *, width: float = math.inf, **attributes: str | float | None) -> Markup:
    """Return text at a baseline, shortened to `width`; then the whole of it shows under the pointer."""
    shown = shorten(text, width)
    whole = [tag("title", text)] if shown != text else []
    return tag("text", shown, *whole, x=x, y=y, **attributes)


def in_words(rows: Iterable[tuple[Words, Words]], language: str) -> str:
    """Return the rows of a chart as one sentence, for those who can't see it."""
    stop, between = ("。", "；") if language == "ja" else (".", "; ")
    written = [f"{in_language(name, language)}: {in_language(words, language)}" for name, words in rows]
    return (between.join(written) or in_language(NO_DATA, language)) + stop


def chart_figure(
    draw: Callable[[str, int], tuple[Markup, float]],
    *,
    title: Words,
    describe: Callable[[str], str],
    note: Words | None,
) -> Markup:
    """Return a `<figure>` with its drawings, per language and width.

    Args:
        draw: (language, width) -> what is drawn, and its height.
        title: the caption above.
        describe: language -> the figures in words, for readers who can't see the drawing.
        note: below the drawing.
    """

    def drawings(language: str) -> Markup:
        head = tag("title", in_language(title, language)) + tag("desc", describe(language))
        both = Markup("")
        for kind, width in (("wide", WIDE), ("narrow", NARROW)):
            drawn, height = draw(language, width)
            both += tag(
                "svg", head, drawn, class_=f"drawing {kind}", role="img", viewBox=f"0 0 {width} {height:.0f}",
                width=width, height=round(height),
            )  # fmt: skip
        return both

    return part("chart", title=title, note=note, drawings=for_each_language(drawings))
