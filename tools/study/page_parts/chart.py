"""Lines over bytes, on a logarithmic axis: each way of choosing is a line, what they are held against is grey."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from embedstore.pages.svg import Scale, label, tag, text_width, tick_step, ticks
from page_parts.drawing import COLOURS, TEXT, spread
from page_parts.markdown import share, size

_ROW = 17.0  # from one name to the next
_AXIS_ROOM = 40.0  # for the numbers at the left
_TICK_ROOM = 24.0  # for those below
Point = tuple[float, float, float | None, float | None]  # bytes, value, low, high; None: no error bar


@dataclass(frozen=True)
class Line:
    """One way of choosing, by rising bytes.

    Attributes:
        name: beside it.
        points: in the order of the bytes.
        quiet: drawn in grey, as what the others are held against.
    """

    name: str
    points: Sequence[Point]
    quiet: bool = False

    @property
    def is_mark(self) -> bool:
        """Whether it is a single point."""
        return len(self.points) == 1


@dataclass(frozen=True)
class Chart:
    """What is drawn.

    Attributes:
        lines: those that are not quiet get a colour each, in this order.
        levels: horizontal lines by name.
        signed: the values are differences.
        around: points that widen the axes, so that several charts have the same.
    """

    lines: Sequence[Line]
    levels: Mapping[str, float] = field(default_factory=dict)
    signed: bool = False
    around: Sequence[Point] = ()

    def draw(
        self, left: float, top: float, right: float, height: float, *, names_room: float | None, key_room: float = 0.0
    ) -> tuple[Markup, float]:
        """Return the chart and where it ends.

        Args:
            left: where the numbers of the axis begin.
            top: of all.
            right: where all ends.
            height: of the plot.
            names_room: for the lines' names to the right; None where there is no room, then they stand above.
            key_room: what they take there at least, so that charts side by side begin at the same height.
        """
        drawn = Markup("")
        if names_room is None:
            drawn, end = self._key(left, top, right)
            top = max(end, top + key_room)
        box = _Box(left + _AXIS_ROOM, right - (names_room or 6.0), top + 6, top + 6 + height)
        plot = _Plot(self, box)
        return drawn + plot.axes() + plot.levels() + plot.lines() + plot.names(names_room is not None), (
            box.bottom + _TICK_ROOM
        )

    def colour(self, line: Line) -> int:
        """Return the number of a line's colour."""
        return [one for one in self.lines if not one.quiet].index(line) % COLOURS

    def names_room(self) -> float:
        """Return how much room the names need to the right."""
        return max((_bold_width(one.name) for one in self.lines if not one.is_mark), default=60.0) + 14

    def key_room(self, width: float) -> float:
        """Return how much room the names need above."""
        return self._key(0.0, 0.0, width)[1]

    def _key(self, left: float, top: float, right: float) -> tuple[Markup, float]:
        """Return the names of the lines above the plot, in as many rows as that takes."""
        drawn, x, y = Markup(""), left, top + 10
        for line in (one for one in self.lines if not one.is_mark):
            width = _bold_width(line.name) + 30
            if x > left and x + width - 12 > right:
                x, y = left, y + _ROW + 2
            drawn += tag(
                "circle", cx=x + 5, cy=y - 4, r=4, class_="quiet-dot" if line.quiet else f"f{self.colour(line)}"
            )
            drawn += label(x + 15, y, line.name, class_="quiet-text" if line.quiet else f"f{self.colour(line)} strong")
            x += width
        return drawn, y + 8


@dataclass(frozen=True)
class _Box:
    left: float
    right: float
    top: float
    bottom: float


class _Plot:
    """A chart in a box."""

    def __init__(self, chart: Chart, box: _Box):
        shown = [*(point for line in chart.lines for point in line.points), *chart.around]
        values = [value for _, *rest in shown for value in rest if value is not None] + list(chart.levels.values())
        logs = [math.log10(nbytes) for nbytes, *_ in shown]
        room, wide = 0.04 * (max(values) - min(values) or 1), 0.04 * (max(logs) - min(logs) or 1)
        self._chart, self._box = chart, box
        self._x = Scale(min(logs) - wide, max(logs) + wide, start=box.left, end=box.right)
        self._y = Scale(min(values) - room, max(values) + room, start=box.bottom, end=box.top)
        middle = (len(chart.lines) - 1) / 2
        # A little aside, so that the error bars of equal bytes do not cover each other.
        self._aside = [4.0 * (at - middle) if chart.signed else 0.0 for at in range(len(chart.lines))]

    def axes(self) -> Markup:
        """Return grid and ticks; a line at zero where the values are differences."""
        drawn, box = Markup(""), self._box
        for value in ticks(self._y.low, self._y.high, tick_step(self._y.low, self._y.high, 5)):
            y = self._y(value)
            kind = "zero" if self._chart.signed and not value else "rule"
            drawn += tag("line", x1=box.left, x2=box.right, y1=y, y2=y, class_=kind)
            text = share(value, 2, signed=self._chart.signed) if value else "0"
            drawn += label(box.left - 8, y + 4, text, text_anchor="end", class_="faint number")
        for value in log_ticks(10**self._x.low, 10**self._x.high, int((box.right - box.left) / 62)):
            x = self._x(math.log10(value))
            drawn += tag("line", x1=x, x2=x, y1=box.bottom, y2=box.bottom + 4, class_="rule")
            drawn += label(x, box.bottom + 18, round_size(value), text_anchor="middle", class_="faint")
        return drawn

    def levels(self) -> Markup:
        """Return the horizontal lines, their names at the right."""
        drawn, box = Markup(""), self._box
        for name, value in self._chart.levels.items():
            y = self._y(value)
            drawn += tag("line", x1=box.left, x2=box.right, y1=y, y2=y, class_="quiet")
            drawn += label(box.right, y - 6, name, text_anchor="end", class_="quiet-text halo")
        return drawn

    def lines(self) -> Markup:
        """Return the lines, what is quiet below the others."""
        drawn = Markup("")
        for at, line in sorted(enumerate(self._chart.lines), key=lambda one: not one[1].quiet):
            colour = None if line.quiet else self._chart.colour(line)
            stroke, fill = ("quiet", "quiet-dot") if colour is None else (f"line s{colour}", f"f{colour}")
            places = [self._place(at, point) for point in line.points]
            for (x, _), (_, _, low, high) in zip(places, line.points, strict=True):
                if low is not None and high is not None:
                    drawn += tag("line", x1=x, x2=x, y1=self._y(low), y2=self._y(high), class_=f"bar {stroke}")
            if not line.is_mark:
                drawn += tag("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in places), class_=stroke)
            for x, y in places:
                drawn += tag("circle", cx=x, cy=y, r=4, class_=fill)
        return drawn

    def names(self, of_lines: bool) -> Markup:
        """Return the names: of marks beside them, of lines to the right of the plot where that is asked for."""
        drawn, box = Markup(""), self._box
        ends = [self._place(at, line.points[-1]) for at, line in enumerate(self._chart.lines)]
        edge = box.right - 0.2 * (box.right - box.left)
        outside = [
            at for at, one in enumerate(self._chart.lines) if of_lines and (not one.is_mark or ends[at][0] > edge)
        ]
        inside = [at for at, one in enumerate(self._chart.lines) if one.is_mark and at not in outside]
        for some, out in ((outside, True), (inside, False)):
            places = spread([ends[at][1] for at in some], _ROW, box.top + 6, box.bottom - 4)
            for at, place in zip(some, places, strict=True):
                line, (x, y) = self._chart.lines[at], ends[at]
                kind = "quiet-text" if line.quiet else f"f{self._chart.colour(line)} strong"
                if out:
                    drawn += tag("line", x1=x + 6, y1=y, x2=box.right + 6, y2=place, class_="leader")
                    drawn += label(box.right + 10, place + 4, line.name, class_=kind)
                elif x > (box.left + box.right) / 2:
                    drawn += label(x + 4, place - 9, line.name, text_anchor="end", class_=f"{kind} halo")
                else:
                    drawn += label(x + 8, place + 4, line.name, class_=f"{kind} halo")
        return drawn

    def _place(self, at: int, point: Point) -> tuple[float, float]:
        return self._x(math.log10(point[0])) + self._aside[at], self._y(point[1])


def _bold_width(name: str) -> float:
    return 1.1 * text_width(name, TEXT)


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Return powers of ten from low to high, and three times these where there is room."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    coarse = [10.0**power for power in powers if low <= 10.0**power <= high]
    fine = [value for power in powers for value in (10.0**power, 3 * 10.0**power) if low <= value <= high]
    return fine if len(fine) <= most else coarse


def round_size(nbytes: float) -> str:
    """Return a round number of bytes without decimals."""
    value, unit = size(nbytes).split(" ")
    return f"{float(value):g} {unit}"
