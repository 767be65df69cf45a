"""Pictures of quality against bytes: a line for each way of choosing what is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from embedstore.pages import Text
from embedstore.pages.svg import label
from embedstore.pages.words import in_language
from page_parts import training_free
from page_parts.answer import DECIDES, LOSS, cheapest
from page_parts.chart import Chart, Line, Point
from page_parts.drawing import EDGE, WIDE, Picture
from page_parts.evidence import OWN, PLAIN, Compared
from page_parts.markdown import share, size
from page_parts.names import line_of

_HEIGHT, _SMALL = 340.0, 210.0


def trained(compared: Compared, names: Sequence[str]) -> Picture | None:
    """Return macro-mode recall against bytes, held against own embeddings; None where that is not known."""
    if compared.nbytes(OWN) is None:
        return None
    by_family: dict[str, list[Point]] = {}
    owns = {compared.as_trained(OWN, name) for name in names}  # each is zero by itself
    for name in sorted(set(names) - owns, key=lambda one: (compared.nbytes(one) or 0, one)):
        nbytes, one = compared.nbytes(name), compared.difference(name, compared.as_trained(OWN, name), DECIDES)
        if nbytes is not None and one is not None and one.value is not None:
            by_family.setdefault(line_of(name), []).append((nbytes, one.value, one.low, one.high))
    if not by_family:
        return None
    lines = [Line(name, points, quiet=len(points) == 1) for name, points in sorted(by_family.items())]
    own = float(compared.nbytes(OWN) or 1)
    lines.append(Line(OWN, [(own, 0.0, None, None)], quiet=True))
    levels = {
        plain: one.value
        for plain in sorted({compared.as_trained(PLAIN, name) for name in names})
        if (one := compared.difference(plain, compared.as_trained(OWN, plain), DECIDES)) is not None
        and one.value is not None
    }
    chart = Chart(lines, levels, signed=True)
    best = cheapest(compared)
    if best is None:
        title = Text(
            f"No summary is yet sure to lose less than {share(LOSS, 2)} AUROC to own embeddings",
            f"AUROC の低下が確実に {share(LOSS, 2)} 未満といえる要約は、まだない",
        )
    else:
        times, whole = own / (compared.nbytes(best) or 1), compared.as_trained(OWN, best)
        title = Text(
            f"{best} keeps {whole}'s AUROC within {share(LOSS, 2)} in 1/{times:,.0f} of the bytes",
            f"{best} は {whole} の {times:,.0f} 分の 1 の容量で、AUROC の低下を {share(LOSS, 2)} 未満に抑える",
        )
    under = Text(
        "macro-mode recall at 5 % overkill of the trained students minus that of own embeddings on pictures as large, against "
        "the bytes that are kept of the teacher; bars: 95 % intervals of the paired differences",
        "学習した生徒の種類の平均の検出率（誤判定 5 %）の、同じ大きさの画像での own との差。"
        "横軸は教師から残した容量。縦棒は差の 95 % 区間",
    )

    def draw(language: str, width: int, top: float) -> tuple[Markup, float]:
        room = chart.names_room() if width == WIDE else None
        return chart.draw(EDGE, top, width - EDGE, _HEIGHT, names_room=room)

    told = [
        f"{line.name} {size(nbytes)} {share(value, 2, signed=True)}"
        for line in lines
        for nbytes, value, *_ in line.points
    ]
    return Picture("bytes", title, under, Text("; ".join(told), "；".join(told)), draw)


_PANELS: tuple[tuple[Text, tuple[str, ...]], ...] = (
    (Text("Real pictures", "実在の画像を選ぶ"), ("random-samples", "herding", "medoids", "k-centre")),
    (Text("Rare samples beside k-means", "希少な画像と k-means の併用"), ("rare-samples",)),
    (Text("All vectors, each in fewer bytes", "全ベクトルを圧縮"), ("own",)),
    (Text("Means and distributions", "平均と分布"), ("class-mean", "class-distribution")),
)


def untrained(record: Mapping[str, object]) -> Picture | None:
    """Return what summaries are worth without training against their bytes, in four panels; None before there is any."""
    found = [one for one in training_free.points(record) if one.part == "curve"]
    if not found:
        return None
    by_family: dict[str, list[Point]] = {}
    for one in found:
        by_family.setdefault(one.family, []).append((one.nbytes, one.recall[0], None, None))
    means = Line("k-means", by_family.get(training_free.BASELINE, []), quiet=True)
    every = [point for points in by_family.values() for point in points]
    panels = []
    for title, of in _PANELS:
        lines = [
            Line(_short(name, of), points) for name, points in sorted(by_family.items()) if name.split(",")[0] in of
        ]
        if lines:
            panels.append((title, Chart([*lines, *([means] if means.points else [])], around=every)))
    under = Text(
        "recall of held-out defects by the nearest prototypes, class-distribution by its likelihood, averaged over the kinds and "
        "over 2 to 10 % overkill, against the bytes kept; grey: k-means",
        "最も近い代表例（class-distribution は尤度）による、テスト側の不良の検出率（種類と誤判定 2～10 % の平均）。横軸は容量、"
        "灰色は k-means",
    )

    def draw(language: str, width: int, top: float) -> tuple[Markup, float]:
        return _panels(panels, language, width, top)

    best = [f"{one.name} {size(one.nbytes)} {share(one.recall[0], 2)}" for one in training_free.best_of_each(found)]
    says = Text("; ".join(best), "；".join(best))
    return Picture("training-free", training_free.finding(found), under, says, draw)


def _short(name: str, of: Sequence[str]) -> str:
    """Return a line's name without what its panel says already."""
    first, *rest = name.replace("weighted by teacher confidence", "weighted").replace("settings ", "").split(", ")
    return ", ".join(rest) or first if len(of) == 1 else ", ".join([first, *rest])


def _panels(panels: Sequence[tuple[Text, Chart]], language: str, width: int, top: float) -> tuple[Markup, float]:
    columns = 2 if width == WIDE else 1
    each = (width - EDGE * (columns + 1)) / columns
    drawn, bottom = Markup(""), top
    for start in range(0, len(panels), columns):
        above, row = bottom + (20 if start else 0), panels[start : start + columns]
        key_room = max(chart.key_room(each) for _, chart in row)
        for number, (title, chart) in enumerate(row):
            left = EDGE + number * (each + EDGE)
            drawn += label(left, above + 14, in_language(title, language), class_="title")
            plot, bottom = chart.draw(left, above + 24, left + each, _SMALL, names_room=None, key_room=key_room)
            drawn += plot
    return drawn, bottom
