"""Pictures of conditions in rows: what each gains over plain training, and which kinds of defect each catches."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from distill.evaluation.intervals import Difference
from embedstore.pages import Text
from embedstore.pages.svg import Scale, extent, label, tag, text_width, tick_step, ticks
from embedstore.pages.words import in_language
from page_parts.answer import DECIDES
from page_parts.drawing import EDGE, TEXT, WIDE, Picture
from page_parts.evidence import PLAIN, UNTRAINED, Compared
from page_parts.markdown import between, share
from page_parts.names import usual
from page_parts.tables import kinds_of

_ROW = 28.0


def gains(compared: Compared, names: Sequence[str]) -> Picture | None:
    """Return the paired differences in macro-mode recall to plain training; None without any."""
    found = [
        one
        for name in names
        if usual(name) != PLAIN  # its own gain is that of pixels, or of epochs
        and (one := compared.difference(name, compared.as_trained(PLAIN, name), DECIDES)) is not None
    ]
    rows = sorted((one for one in found if one.low is not None), key=lambda one: -(one.value or 0))
    if not rows:
        return None
    students = [one for one in rows if compared.finished[one.policy].about["part"] not in UNTRAINED]
    better = sum(one.verdict == "more" for one in students)
    title = Text(
        f"{better} of {len(students)} students catch more than plain training beyond chance",
        f"偶然では説明できない差で通常の学習を上回った生徒は {len(students)} 条件のうち {better} 条件",
    )
    under = Text(
        "macro-mode recall at 5 % overkill minus that of plain training (100 epochs, or as many as a longer one has; on pictures "
        "as large), with its 95 % interval; filled where that excludes zero",
        "種類の平均の検出率（誤判定 5 %）の、通常の学習（100 エポック、より長い条件には同じ長さ。同じ大きさの画像）との差と "
        "95 % 区間。区間が 0 を含まないものは塗りつぶし",
    )
    told = [(one.policy, _told(one)) for one in rows]
    says = Text(
        "; ".join(f"{name} {said.en}" for name, said in told), "；".join(f"{name} {said.ja}" for name, said in told)
    )
    return Picture("gains", title, under, says, lambda language, width, top: _gains(rows, language, width, top))


def _told(one: Difference) -> Text:
    value, span = share(one.value, 2, signed=True), between(one.low, one.high, 2)
    return Text(f"{value} ({span.en})", f"{value}（{span.ja}）")


def _gains(rows: Sequence[Difference], language: str, width: int, top: float) -> tuple[Markup, float]:
    wide = width == WIDE
    texts = [in_language(_told(one), language) for one in rows]
    names = EDGE + max(text_width(one.policy, TEXT) for one in rows) + 12 if wide else EDGE
    right = width - EDGE - (max(text_width(text, TEXT) for text in texts) + 8 if wide else 0)
    low, high = extent((bound for one in rows for bound in (one.low, one.high) if bound is not None), around=(0.0,))
    room = 0.03 * (high - low)
    x = Scale(low - room, high + room, start=names, end=right)
    each = _ROW if wide else 46.0
    bottom = top + each * len(rows)
    step = tick_step(x.low, x.high, 8 if wide else 5)
    drawn = Markup("")
    for value in ticks(x.low, x.high, step):
        drawn += tag("line", x1=x(value), x2=x(value), y1=top, y2=bottom, class_="rule" if value else "zero")
        text = share(value, 2, signed=True) if value else "0"
        drawn += label(x(value), bottom + 18, text, text_anchor="middle", class_="faint number")
    for at, (one, text) in enumerate(zip(rows, texts, strict=True)):
        line = top + each * at + (each / 2 if wide else 34)
        base = line + 4 if wide else line - 16
        sure = "sure" if one.verdict in ("more", "less") else "unsure"
        strong = " strong" if one.verdict == "more" else ""
        drawn += label(EDGE, base, one.policy, class_=f"halo{strong}")
        drawn += label(width - EDGE, base, text, text_anchor="end", class_=f"number halo{strong}")
        assert one.low is not None  # noqa: S101  only those with an interval are drawn
        assert one.high is not None  # noqa: S101
        drawn += tag("line", x1=x(one.low), x2=x(one.high), y1=line, y2=line, class_="interval")
        drawn += tag("circle", cx=x(one.value or 0), cy=line, r=5, class_=sure)
    return drawn, bottom + 24


def kinds(compared: Compared, names: Sequence[str]) -> Picture | None:
    """Return a table of shades: the recall of each kind by each condition; None without any."""
    columns = kinds_of(compared)
    if not names or not columns:
        return None
    worst = [compared.figures[name].by_mode[0].name for name in names]
    most = max(sorted(set(worst)), key=worst.count)
    title = Text(
        f"{most} is the worst kind for {worst.count(most)} of {len(worst)} conditions",
        f"{len(worst)} 条件のうち {worst.count(most)} 条件で、最も苦手な種類は {most}",
    )
    under = Text(
        "recall of each kind of defect at 5 % overkill, the commonest kind to the left; a frame marks the worst of a row",
        "不良の種類ごとの検出率（誤判定 5 %）。左ほど枚数の多い種類。枠は各行で最も苦手な種類",
    )

    lowest = [(name, compared.figures[name].by_mode[0]) for name in names]
    said = [f"{name} {one.name} {share(one.recall, 2)}" for name, one in lowest]
    says = Text("; ".join(said), "；".join(said))
    return Picture("kinds", title, under, says, lambda _, width, top: _kinds(compared, names, columns, width, top))


def _kinds(
    compared: Compared, names: Sequence[str], columns: Sequence[str], width: int, top: float
) -> tuple[Markup, float]:
    wide = width == WIDE
    left = EDGE + max(text_width(name, TEXT) for name in names) + 12 if wide else EDGE
    each = (width - EDGE - left) / len(columns)
    row, name_room = (_ROW, 0.0) if wide else (50.0, 20.0)
    drawn = Markup("")
    for at, kind in enumerate(columns):
        drawn += label(left + (at + 0.5) * each, top + 12, kind, width=each, text_anchor="middle", class_="title")
    for number, name in enumerate(names):
        line = top + 22 + number * row
        found = {one.name: one.recall for one in compared.figures[name].by_mode}
        lowest = compared.figures[name].by_mode[0].name
        drawn += label(EDGE, line + (18 if wide else 14), name)
        for at, kind in enumerate(columns):
            box = {"x": left + at * each + 2, "y": line + name_room + 1, "width": each - 4, "height": 24.0, "rx": 3.0}
            drawn += tag("rect", **box, class_="f0", fill_opacity=0.04 + 0.6 * found[kind])
            if kind == lowest:
                drawn += tag("rect", **box, class_="quiet")
            middle = left + (at + 0.5) * each
            drawn += label(middle, line + name_room + 18, share(found[kind], 2), text_anchor="middle", class_="number")
    return drawn, top + 22 + len(names) * row
