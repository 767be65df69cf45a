"""The picture of a run: for each change, how often it is found and how often the verdict is right, one line a batch size."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from embedstore.pages.svg import Scale, label, tag
from embedstore.pages.words import Text, in_language

WIDTH, GAP, EDGE, HEIGHT, AXIS = 880, 26, 20, 150, 38
TITLE = Text("Drift of magnetic tiles: found, and told rightly", "磁性タイルのドリフト：検出率と判定の正しさ")
COLUMNS = (
    ("brightness", Text("Darker by", "暗くした割合"), True),
    ("blur", Text("Blur, pixels", "ぼかし（画素）"), False),
    ("hidden", Text("New defect", "新しい不良"), True),
)
ROWS = (("found", Text("found", "検出")), ("right", Text("verdict right", "判定が正しい")))
STYLE = """
svg { --page: #ffffff; --ink: #1c2430; --faint: #5d6878; --rule: #e3e8ee; --c0: #0b63b6; --c1: #c2410c; --c2: #15803d; }
@media (prefers-color-scheme: dark) {
  svg { --page: #12171e; --ink: #e6ebf2; --faint: #9aa7b8; --rule: #2a333f; --c0: #58a6f0; --c1: #fb923c; --c2: #4ade80; }
}
.page { fill: var(--page); }
text { fill: var(--ink); font: 13px system-ui, "Segoe UI", "Hiragino Sans", "Noto Sans JP", sans-serif; }
.head { font-size: 17px; font-weight: 600; } .title { font-weight: 600; } .faint { fill: var(--faint); font-size: 12px; }
.rule { stroke: var(--rule); } .alarm { stroke: var(--faint); stroke-dasharray: 3 3; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; } .bar { stroke-width: 1.5; opacity: 0.45; }
""" + "".join(f".s{at} {{ stroke: var(--c{at}); }} .f{at} {{ fill: var(--c{at}); }}\n" for at in range(3))


def draw(result: dict[str, Any], language: str) -> str:
    """Return a run as an SVG file of its own."""
    sizes = sorted({row["size"] for row in result["rows"]})
    under = _under(result, language)
    drawn = label(EDGE, 32, in_language(TITLE, language), class_="head")
    for at, line in enumerate(under):
        drawn += label(EDGE, 54 + 17 * at, line, class_="faint")
    top = 54 + 17 * len(under) + 14
    x = EDGE
    for at, size in enumerate(sizes):
        name = in_language(Text(f"batches of {size}", f"{size} 枚のバッチ"), language)
        drawn += tag("circle", cx=x + 5, cy=top - 4, r=4, class_=f"f{at}") + label(
            x + 14, top, name, class_=f"f{at} title"
        )
        x += 150
    top += 14
    width = (WIDTH - 2 * EDGE - 2 * GAP) / 3
    for number, (measure, words) in enumerate(ROWS):
        for place, (condition, title, is_share) in enumerate(COLUMNS):
            rows = [row for row in result["rows"] if row["condition"] == condition and row["kind"] is None]
            left, start = EDGE + place * (width + GAP), top + number * (HEIGHT + AXIS + 34)
            name = f"{in_language(title, language)}: {in_language(words, language)}"
            drawn += label(left, start + 14, name, width=width, class_="title")
            drawn += _panel(rows, measure, left, start + 26, width, sizes, result["false_alarms"], is_share=is_share)
    height = top + 2 * (HEIGHT + AXIS + 34)
    return str(
        tag(
            "svg", tag("title", in_language(TITLE, language)), tag("desc", " ".join(under)), tag("style", Markup(STYLE)),  # noqa: S704  # our own
            tag("rect", width=WIDTH, height=height, rx=8, class_="page"), drawn,
            xmlns="http://www.w3.org/2000/svg", role="img", viewBox=f"0 0 {WIDTH} {height:.0f}", width=WIDTH, height=height,
        )
    ) + "\n"  # fmt: skip


def _under(result: dict[str, Any], language: str) -> list[str]:
    """Return what stands below the title: what was asked, and the false alarms."""
    unchanged = [row for row in result["rows"] if row["condition"] == "unchanged"]
    rates = {row["size"]: f"{row['found']}/{row['batches']}" for row in unchanged}
    said = ", ".join(f"{size}: {rate}" for size, rate in rates.items())
    words = Text(
        f"Alarm at a stated rate of {result['false_alarms']:.0%} (dashed); false alarms of unchanged batches: {said}",
        f"誤警報率 {result['false_alarms']:.0%} で警報（破線）。変化のないバッチでの誤警報：{said}",
    )
    more = Text(
        f"{result['samples']:,} pictures of {result['parts']} tiles, {result['teacher']}, five folds by tile; 95 % intervals",
        f"タイル {result['parts']} 個の画像 {result['samples']:,} 枚、{result['teacher']}、タイル単位の 5 分割、95 % 区間",
    )
    return [in_language(words, language), in_language(more, language)]


def _panel(  # noqa: PLR0917  a place and what is drawn there
    rows: list[dict[str, Any]],
    measure: str,
    left: float,
    top: float,
    width: float,
    sizes: list[int],
    false_alarms: float,
    *,
    is_share: bool,
) -> Markup:
    strengths = sorted({row["strength"] for row in rows})
    x = Scale(0, max(1, len(strengths) - 1), start=left + 50, end=left + width - 14)
    y = Scale(0, 1, start=top + HEIGHT, end=top + 6)
    drawn = Markup("")
    for value in (0, 0.5, 1):
        drawn += tag("line", x1=left + 38, x2=left + width, y1=y(value), y2=y(value), class_="rule")
        drawn += label(left + 32, y(value) + 4, f"{100 * value:.0f}%", text_anchor="end", class_="faint")
    if measure == "found":
        drawn += tag("line", x1=left + 38, x2=left + width, y1=y(false_alarms), y2=y(false_alarms), class_="alarm")
    for place, strength in enumerate(strengths):
        text = f"{strength:.0%}" if is_share else f"{strength:g}"
        drawn += label(x(place), top + HEIGHT + 20, text, text_anchor="middle", class_="faint")
    for at, size in enumerate(sizes):
        own = {row["strength"]: row for row in rows if row["size"] == size}
        shares = [own[one][measure] / own[one]["batches"] for one in strengths]
        aside = 5.0 * (at - (len(sizes) - 1) / 2)  # so that error bars do not cover each other
        places = [(x(place) + aside, y(share)) for place, share in enumerate(shares)]
        if measure == "found":
            for (across, _), one in zip(places, strengths, strict=True):
                low, high = own[one]["interval"]
                drawn += tag("line", x1=across, x2=across, y1=y(low), y2=y(high), class_=f"bar s{at}")
        points = " ".join(f"{across:.1f},{down:.1f}" for across, down in places)
        drawn += tag("polyline", points=points, class_=f"line s{at}")
        for across, down in places:
            drawn += tag("circle", cx=across, cy=down, r=3.5, class_=f"f{at}")
    return drawn
