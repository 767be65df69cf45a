"""The curves: recall of a kind that training never saw, over the parts of it that were added; a panel for each kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from page_parts.drawing import EDGE, NARROW, TEXT, WIDE, Picture
from page_parts.markdown import LANGUAGES, share

from embedstore.pages import Text
from embedstore.pages.svg import Scale, label, tag, text_width, ticks
from embedstore.pages.words import in_language
from new_defect_parts.cases import GOOD, KNOWN, NEW
from new_defect_parts.spaces import FEATURES, PROJECTED, TEACHER

NAME = "new-defect"
_HEIGHT, _AXIS_ROOM, _ROW = 170.0, 34.0, 19.0
_ASIDE = 3.0  # units, so that error bars at one count do not cover each other

# What is a line: the space, what is added, its name; those that are quiet are controls.
_LINES = (
    (TEACHER, NEW, Text("by the teacher's own vectors (upper bound)", "教師自身のベクトルで検索（上限）"), False),
    (FEATURES, NEW, Text("by the student's features", "生徒の特徴量で検索"), False),
    (PROJECTED, NEW, Text("student asked, teacher's vectors kept", "生徒の出力で教師のベクトルを検索"), False),
    (FEATURES, KNOWN, Text("control: known defects added", "対照：既知の不良を追加"), True),
    (FEATURES, GOOD, Text("control: good parts added", "対照：良品を追加"), True),
)
_HEAD = Text("the student's head, without retrieval", "検索なし（生徒のヘッド）")

Cell = Mapping[str, Any]  # figure -> [value, low, high]


@dataclass(frozen=True)
class _Panel:
    """One plot.

    Attributes:
        title: above it.
        curves: of each of `_LINES`: count -> figures.
        head: recall of the head.
    """

    title: Text
    curves: Sequence[Mapping[str, Cell]]
    head: float

    def highest(self) -> float:
        """Return the highest value drawn."""
        return max([self.head, *(float(cell["recall"][2]) for curve in self.curves for cell in curve.values())])


def pictures(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the files of the record's first student: in each language, for a wide page and for a phone."""
    name = next(iter(record["students"]))
    picture = _picture(record["students"][name])
    return {
        f"{NAME}{kind}{ending}.svg": picture.svg(language, width)
        for language, ending in LANGUAGES.items()
        for width, kind in ((WIDE, ""), (NARROW, ".narrow"))
    }


def _picture(student: Mapping[str, Any]) -> Picture:
    panels = _panels(student)
    counts = list(panels[0].curves[1])
    first, last = (panels[0].curves[1][count]["recall"][0] for count in (counts[0], counts[-1]))
    head = panels[0].head
    title = Text(
        f"{counts[-1]} parts added, nothing trained: recall of the new kind goes from {share(first, 2)} to {share(last, 2)}; "
        f"the head has {share(head, 2)}",
        f"学習なしで {counts[-1]} 部品を追加：新しい種類の検出率は {share(first, 2)} から {share(last, 2)} へ。"
        f"ヘッドは {share(head, 2)}",
    )
    under = Text(
        "recall at 5 % overkill of a kind of defect that training never saw, over the parts of it that were added to the "
        "gallery; bars: 95 % of the draws, for the mean over kinds a 95 % interval",
        "学習で一度も見ていない種類の不良の検出率（誤判定 5 %）。横軸は検索の対象に追加したその種類の部品数。縦棒は抽選の 95 %、"
        "平均では 95 % 区間",
    )
    says = Text(
        f"mean over kinds: {share(first, 2)} at {counts[0]}, {share(last, 2)} at {counts[-1]}, head {share(head, 2)}",
        f"種類の平均：{counts[0]} 部品で {share(first, 2)}、{counts[-1]} 部品で {share(last, 2)}、ヘッドは {share(head, 2)}",
    )

    def draw(language: str, width: int, top: float) -> tuple[Markup, float]:
        return _draw(panels, language, width, top)

    return Picture(NAME, title, under, says, draw)


def _panels(student: Mapping[str, Any]) -> list[_Panel]:
    sources = [student["spaces"][space][added] for space, added, *_ in _LINES]
    modes, heads = sources[0]["modes"], student["head"]["modes"]
    of_mean = sources[0]["mean_of"]
    mean_head = sum(heads[mode]["0"]["recall"][0] for mode in of_mean) / len(of_mean)
    names = ", ".join(of_mean)
    title = Text(f"Mean of {names}", f"{names} の平均")
    mean = _Panel(title, [source["mean"] for source in sources], mean_head)
    return [
        mean,
        *(
            _Panel(Text(mode, mode), [source["modes"][mode] for source in sources], heads[mode]["0"]["recall"][0])
            for mode in modes
        ),
    ]


def _draw(panels: Sequence[_Panel], language: str, width: int, top: float) -> tuple[Markup, float]:
    drawn, bottom = _key(language, width, top)
    columns = 2 if width == WIDE else 1
    each = (width - EDGE * (columns + 1)) / columns
    y_most = min(1.0, max(panel.highest() for panel in panels) + 0.03)
    for start in range(0, len(panels), columns):
        above = bottom + 12
        for number, panel in enumerate(panels[start : start + columns]):
            left = EDGE + number * (each + EDGE)
            drawn += label(left, above + 14, in_language(panel.title, language), class_="title")
            plot, bottom = _plot(panel, left, above + 24, left + each, y_most)
            drawn += plot
    words = in_language(Text("parts added", "追加した部品数"), language)
    return drawn + label(width - EDGE, bottom + 14, words, text_anchor="end", class_="faint"), bottom + 18


def _key(language: str, width: int, top: float) -> tuple[Markup, float]:
    """Return the names of the lines in as many rows as that takes, and where they end."""
    drawn, x, y = Markup(""), EDGE, top + 10
    names = [(in_language(name, language), *_look(at)) for at, (*_, name, _) in enumerate(_LINES)]
    names.append((in_language(_HEAD, language), "zero", "", "quiet-text"))
    for name, stroke, fill, kind in names:
        room = 1.1 * text_width(name, TEXT) + 40
        if x > EDGE and x + room - 14 > width - EDGE:
            x, y = EDGE, y + _ROW
        drawn += tag("line", x1=x, x2=x + 18, y1=y - 4, y2=y - 4, class_=stroke)
        if fill:
            drawn += tag("circle", cx=x + 9, cy=y - 4, r=3.5, class_=fill)
        drawn += label(x + 24, y, name, class_=kind)
        x += room
    return drawn, y + 6


def _look(at: int) -> tuple[str, str, str]:
    """Return the classes of a line, its dots and its name; of the controls the second has rings."""
    if _LINES[at][3]:
        return "quiet", "quiet-dot" if _LINES[at][1] == KNOWN else "quiet", "quiet-text"
    return f"line s{at}", f"f{at}", f"f{at} strong"


def _plot(panel: _Panel, left: float, top: float, right: float, y_most: float) -> tuple[Markup, float]:
    counts = sorted({int(count) for curve in panel.curves for count in curve})
    x = Scale(-0.4, 10.4, start=left + _AXIS_ROOM, end=right - 4)
    y = Scale(0.0, y_most, start=top + _HEIGHT, end=top)
    drawn = Markup("")
    for value in ticks(0.0, y_most, 0.2):
        drawn += tag("line", x1=x.start, x2=x.end, y1=y(value), y2=y(value), class_="rule")
        text = share(value, 1) if value else "0"
        drawn += label(x.start - 7, y(value) + 4, text, text_anchor="end", class_="faint number")
    for count in counts:
        drawn += label(x(count), y.start + 17, str(count), text_anchor="middle", class_="faint number")
    drawn += tag("line", x1=x.start, x2=x.end, y1=y(panel.head), y2=y(panel.head), class_="zero")
    for at in sorted(range(len(_LINES)), key=lambda one: not _LINES[one][3]):
        stroke, fill, _ = _look(at)
        aside = 0.0 if _LINES[at][3] else _ASIDE * (at - 1)
        places = [(x(int(count)) + aside, cell["recall"]) for count, cell in panel.curves[at].items()]
        line = " ".join(f"{place:.1f},{y(value):.1f}" for place, (value, *_) in places)
        drawn += tag("polyline", points=line, class_=stroke)
        for place, (value, low, high) in places:
            if not _LINES[at][3] and low < high:
                drawn += tag("line", x1=place, x2=place, y1=y(low), y2=y(high), class_=f"bar {stroke}")
            drawn += tag("circle", cx=place, cy=y(value), r=3.5, class_=fill)
    return drawn, y.start + 22
