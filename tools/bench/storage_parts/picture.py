"""The picture of a run: one small chart a measure, one bar a system, readable on light and dark pages."""

from typing import Any

from markupsafe import Markup

from embedstore.pages.svg import Scale, label, tag, text_width
from storage_parts.results import OURS
from storage_parts.table import short

WIDTH, GAP, HEAD, BAR, NAMES = 880, 36, 46, 22, 104
PANELS = [
    ("write", "Bulk write, synced", "rows a second"),
    ("scan", "Scan", "rows a second"),
    ("exact 100", "Exact search, 100 at once", "queries a second"),
    ("approximate 100", "Approximate search, 100 at once", "queries a second"),
    ("filtered rare 100", "1 % pass a filter, 100 at once", "queries a second"),
    ("random batch", "256 random rows", "ms, less is better"),
    ("open first", "Open", "ms, less is better"),
    ("disk", "Disk without index", "times the float16 vectors, less is better"),
]
STYLE = """
svg { --page: #ffffff; --ink: #1c2430; --faint: #5d6878; --ours: #0b63b6; --others: #a9b4c2; }
@media (prefers-color-scheme: dark) {
  svg { --page: #12171e; --ink: #e6ebf2; --faint: #9aa7b8; --ours: #58a6f0; --others: #55616f; }
}
.page { fill: var(--page); } text { fill: var(--ink); font: 13px system-ui, "Segoe UI", sans-serif; }
.head { font-size: 16px; font-weight: 600; } .title { font-size: 14px; font-weight: 600; }
.faint { fill: var(--faint); font-size: 12px; } .bar { fill: var(--others); } .bar.ours { fill: var(--ours); }
.name.ours, .value.ours { font-weight: 600; }
"""


def draw(run: dict[str, Any]) -> str:
    """Return the run as an SVG file of its own."""
    systems = run["systems"]
    panels = [panel for panel in PANELS if any(_figure(one, panel[0], run) is not None for one in systems.values())]
    width = (WIDTH - 3 * GAP) / 2
    drawn, heights, words = [], [64.0, 64.0], []
    for panel in panels:
        side = heights.index(min(heights))
        chart, height, said = _panel(run, panel, GAP + side * (width + GAP), heights[side], width)
        drawn.append(chart)
        words.append(said)
        heights[side] += height + 26
    height = max(heights) + 8
    title = f"{run['rows']:,} vectors of {run['generator']['dim']} numbers on {run['threads']} threads"
    under = "float16 unless told otherwise; files warm; medians; recall@10 where below 1"
    head = label(GAP, 30, title, class_="head") + label(GAP, 50, under, class_="faint")
    return str(
        tag(
            "svg", tag("title", title), tag("desc", " ".join(words)), tag("style", Markup(STYLE)),  # noqa: S704  # our own
            tag("rect", width=WIDTH, height=height, rx=8, class_="page"), head, *drawn,
            xmlns="http://www.w3.org/2000/svg", role="img", viewBox=f"0 0 {WIDTH} {height:.0f}", width=WIDTH, height=height,
        )
    )  # fmt: skip


def _figure(one: dict[str, Any], key: str, run: dict[str, Any]) -> float | None:
    if key == "disk":
        disk = one.get("disk")
        raw = 2 * run["rows"] * run["generator"]["dim"]
        return None if disk is None else (disk["vectors"] + disk["metadata"]) / raw
    found = one["measures"].get(key)
    return None if found is None else float(found["value"])


def _panel(
    run: dict[str, Any], panel: tuple[str, str, str], left: float, top: float, width: float
) -> tuple[Markup, float, str]:
    key, title, unit = panel
    shown = [(name, one, _figure(one, key, run)) for name, one in run["systems"].items()]
    rows = [(name, one, value) for name, one, value in shown if value is not None]
    texts = []
    for _, one, value in rows:
        recall = one["measures"].get(key, {}).get("recall", 1.0)
        texts.append(short(value) + (f", recall {recall:.3f}" if recall < 0.9995 else ""))
    room = width - NAMES - 10 - max(map(text_width, texts))
    x = Scale(0, max(value for _, _, value in rows), start=0, end=room)
    drawn = label(left, top + 14, title, class_="title") + label(left, top + 32, unit, class_="faint")
    for at, ((name, one, value), text) in enumerate(zip(rows, texts, strict=True)):
        line = top + HEAD + at * BAR
        kind = " ours" if name == OURS else ""
        drawn += label(left, line + 12, one["name"], width=NAMES - 6, class_=f"name{kind}")
        drawn += tag("rect", x=left + NAMES, y=line, width=max(1.5, x(value)), height=15, rx=2, class_=f"bar{kind}")
        drawn += label(left + NAMES + max(1.5, x(value)) + 6, line + 12, text, class_=f"value{kind}")
    said = "; ".join(f"{one['name']} {text}" for (_, one, _), text in zip(rows, texts, strict=True))
    return drawn, HEAD + len(rows) * BAR, f"{title} ({unit}): {said}."
