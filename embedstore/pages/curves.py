"""Line charts, such as learning curves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from markupsafe import Markup

from embedstore.errors import SettingsError
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
from embedstore.pages.words import NumberForm, Text, Words, figure, in_language, number

COLOURS = 5  # page.css has as many; a further series begins again, dashed
NAME_ROOM = 240.0
LINE = 22  # from one name to the next

Place = tuple[float, ...]  # x and y, or x, low and high


@dataclass(frozen=True)
class Series:
    """One curve.

    Attributes:
        name: what it is called beside the curve.
        values: y, in order; NaN leaves a gap.
        at: x, as many; None: 1, 2, 3, ... such as epochs.
        low, high: a band around it, as many; None: no band.
        quiet: grey and dashed, for the baseline that the others are held against.
    """

    name: Words
    values: Sequence[float]
    at: Sequence[float] | None = None
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    quiet: bool = False

    def __post_init__(self) -> None:
        for name in ("at", "low", "high"):
            given = getattr(self, name)
            if given is not None and len(given) != len(self.values):
                raise SettingsError(
                    f"Series {in_language(self.name, 'en')!r} has {len(self.values)} values but {len(given)} of "
                    f"{name!r}; give equally many."
                )

    def places(self) -> list[Place]:
        """Return x and y of each value."""
        at = range(1, len(self.values) + 1) if self.at is None else self.at
        return [(float(x), float(y)) for x, y in zip(at, self.values, strict=True)]

    def band(self) -> list[Place]:
        """Return x, low and high of each value; nothing without a band."""
        if self.low is None or self.high is None:
            return []
        lows_and_highs = zip(self.places(), self.low, self.high, strict=True)
        return [(place[0], float(low), float(high)) for place, low, high in lows_and_highs]


@dataclass(frozen=True)
class _Axes:
    x: tuple[float, float]
    y: tuple[float, float]
    x_title: Words
    y_title: Words
    form: NumberForm
    whole_x: bool
    fixed_y: bool


def line_chart(
    series: Sequence[Series],
    *,
    title: Words,
    x_title: Words,
    y_title: Words,
    form: NumberForm = "number",
    y_range: tuple[float, float] | None = None,
    note: Words | None = None,
) -> Markup:
    """Return curves over a common x, each named beside its end (on a phone: above the chart).

    Args:
        series: the curves; later ones are drawn over earlier ones.
        title: caption of the figure.
        x_title: what x is, such as the epoch.
        y_title: what y is.
        form: how y is written: `number`, `percent` or `points`.
        y_range: lowest and highest y; None: from the data.
        note: below the chart.

    Raises:
        SettingsError: `y_range` is empty.
    """
    if y_range is not None and not y_range[0] < y_range[1]:
        raise SettingsError(f"The axis is to go from {y_range[0]} to {y_range[1]}; give the lower end first.")
    places = [place for one in series for place in one.places()]
    heights = [y for _, y in places] + [y for one in series for _, *ys in one.band() for y in ys]
    low, high = y_range or extent(heights)
    if form == "percent" and y_range is None and all(0 <= y <= 1 for y in heights if math.isfinite(y)):
        low, high = max(0.0, low), min(1.0, high)  # a constant share gets no room beyond what a share can be
    axes = _Axes(
        x=extent(x for x, _ in places),
        y=(low, high),
        x_title=x_title,
        y_title=y_title,
        form=form,
        whole_x=all(x.is_integer() for x, _ in places),
        fixed_y=y_range is not None,
    )

    def describe(language: str) -> str:
        return in_words([(one.name, _ends(one, form)) for one in series], language)

    return chart_figure(partial(_draw, series, axes), title=title, describe=describe, note=note)


def _draw(series: Sequence[Series], axes: _Axes, language: str, width: int) -> tuple[Markup, float]:
    wide = width == WIDE
    names = [in_language(one.name, language) for one in series]
    y_low, y_high = axes.y
    y_step = tick_step(y_low, y_high, 5)
    if not axes.fixed_y:  # the axis ends at its ticks
        y_low, y_high = math.floor(y_low / y_step + 1e-9) * y_step, math.ceil(y_high / y_step - 1e-9) * y_step
    y_texts = {value: tick_text(value, y_step, axes.form) for value in ticks(y_low, y_high, y_step)}
    x_step = tick_step(*axes.x, 10 if wide else 5)
    x_step = max(1.0, x_step) if axes.whole_x else x_step

    legend = 0 if wide else LINE * len(series) + 8
    top = legend + 32
    bottom = top + (290 if wide else 210)
    name_room = min(NAME_ROOM, 1.1 * max(map(text_width, names), default=0)) if wide else 0  # they are bold
    x = Scale(*axes.x, start=12 + max(map(text_width, y_texts.values()), default=0), end=width - 14 - name_room)
    y = Scale(y_low, y_high, start=bottom, end=top)

    drawn = [label(0, legend + 14, in_language(axes.y_title, language), width=width, class_="axis-title")]
    for value, text in y_texts.items():
        drawn.append(tag("line", x1=x.start, x2=x.end, y1=y(value), y2=y(value), class_="grid"))
        drawn.append(label(x.start - 8, y(value) + 5, text, text_anchor="end", class_="tick"))
    for value in ticks(*axes.x, x_step):
        text = tick_text(value, x_step, "number")
        drawn.append(label(x(value), bottom + 22, text, text_anchor="middle", class_="tick"))
    x_title = in_language(axes.x_title, language)
    drawn.append(label(x.end, bottom + 44, x_title, width=width, text_anchor="end", class_="axis-title"))

    styles = _styles(series)
    ends = []
    for at, (one, (style, dash)) in enumerate(zip(series, styles, strict=True)):
        drawn += _curve(one, x, y, style, dash)
        finite = [place for place in one.places() if all(map(math.isfinite, place))]
        ends += [(y(finite[-1][1]), at)] if finite else []
    if not ends:
        middle = (x.start + x.end) / 2, (top + bottom) / 2
        drawn.append(label(*middle, in_language(NO_DATA, language), text_anchor="middle", class_="tick"))
    if wide:
        for height, at in _spread(ends, top, bottom):
            drawn.append(label(x.end + 12, height + 5, names[at], width=name_room, class_=f"name {styles[at][0]}"))
        return Markup("").join(drawn), bottom + 52
    for at, (name, (style, dash)) in enumerate(zip(names, styles, strict=True)):
        line = LINE * at + 10
        drawn.append(tag("line", x1=0, x2=26, y1=line, y2=line, class_=f"curve {style}", stroke_dasharray=dash))
        drawn.append(label(34, line + 5, name, width=width - 34, class_="name"))
    return Markup("").join(drawn), bottom + 52


def _curve(one: Series, x: Scale, y: Scale, style: str, dash: str | None) -> list[Markup]:
    drawn = []
    for run in _runs(one.band()):
        outline = [(at, high) for at, _, high in run] + [(at, low) for at, low, _ in reversed(run)]
        drawn.append(tag("polygon", points=_points(outline, x, y), class_=f"band {style}"))
    runs = _runs(one.places())
    for run in runs:
        if len(run) > 1:
            drawn.append(tag("polyline", points=_points(run, x, y), class_=f"curve {style}", stroke_dasharray=dash))
        if len(run) == 1 or run is runs[-1]:  # a place of its own, and the end
            drawn.append(tag("circle", cx=x(run[-1][0]), cy=y(run[-1][1]), r=3.5, class_=f"dot {style}"))
    return drawn


def _points(places: Sequence[Place], x: Scale, y: Scale) -> str:
    return " ".join(f"{x(place[0]):.2f},{y(place[1]):.2f}" for place in places)


def _runs(places: Sequence[Place]) -> list[list[Place]]:
    """Cut at each place that is not finite."""
    runs: list[list[Place]] = [[]]
    for place in places:
        if all(map(math.isfinite, place)):
            runs[-1].append(place)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _styles(series: Sequence[Series]) -> list[tuple[str, str | None]]:
    """Return the class and the dashes of each: quiet ones grey, the others one colour after another."""
    styles: list[tuple[str, str | None]] = []
    loud = 0
    for one in series:
        if one.quiet:
            styles.append(("quiet", "6 4"))
            continue
        styles.append((f"series-{loud % COLOURS + 1}", "2 3" if loud >= COLOURS else None))
        loud += 1
    return styles


def _spread(ends: Sequence[tuple[float, int]], top: float, bottom: float) -> list[tuple[float, int]]:
    """Move the heights of names apart until none covers another, from the top down and then back from the bottom up."""
    spread: list[tuple[float, int]] = []
    for height, at in sorted(ends):
        spread.append((max(height, spread[-1][0] + LINE if spread else top), at))
    lowest = max(bottom, top + LINE * (len(spread) - 1))
    for place in range(len(spread) - 1, -1, -1):
        height, at = spread[place]
        spread[place] = (min(height, lowest), at)
        lowest = spread[place][0] - LINE
    return spread


def _ends(one: Series, form: NumberForm) -> Words:
    finite = [place for place in one.places() if all(map(math.isfinite, place))]
    if not finite:
        return NO_DATA
    (x_first, y_first), (x_last, y_last) = finite[0], finite[-1]
    first, last = figure(y_first, form), figure(y_last, form)
    start, end = (number(x, 0 if x.is_integer() else 2) for x in (x_first, x_last))
    return Text(f"from {first} at {start} to {last} at {end}", f"{start} で {first}、{end} で {last}")
