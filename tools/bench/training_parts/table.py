"""The figures as tables, and the ratios that the aims speak of."""

from collections.abc import Iterator, Mapping
from math import log

from training_parts.names import GROWTH, TEACHERS

Figures = Mapping[str, Mapping[str, float]]

EPOCHS = 30  # of a training, where trainings are counted
MB = 1e6


def table(figures: Figures) -> Iterator[str]:
    """Yield the lines of all tables for which there are figures."""
    yield from _ways(figures)
    yield from _passes(figures)
    yield from _growth(figures)
    yield from _aims(figures)


def _ways(figures: Figures) -> Iterator[str]:
    limit, plain = (figures.get(way, {}).get("seconds") for way in ("bare steps", "image folder"))
    yield f"{'way':28}{'s/1,000':>10}{'lowest':>9}{'highest':>9}{'x bare':>9}{'x files':>9}{'MB':>8}{'workers':>9}"
    for way, figure in figures.items():
        if _counted(way) is None:
            ratios = "".join(f"{figure['seconds'] / one:9.2f}" if one else f"{'-':>9}" for one in (limit, plain))
            times = "".join(f"{figure[name]:9.3f}" for name in ("lowest", "highest"))
            yield f"{way:28}{figure['seconds']:10.3f}{times}{ratios}{figure['memory'] / MB:8.0f}{figure['workers']:9.0f}"


def _passes(figures: Figures) -> Iterator[str]:
    own = figures.get("own, kept")
    if own is None:
        return
    told = [teacher for teacher in TEACHERS if {f"pass, {teacher}", f"live, {teacher}"} <= figures.keys()]
    if told:
        head = f"trainings of {EPOCHS} epochs until it is paid"
        yield f"\n{'embedding pass':20}{'views':>7}{'s/1,000':>10}{'live epochs':>13}  {head}"
    for teacher in told:
        each, live = figures[f"pass, {teacher}"]["seconds"], figures[f"live, {teacher}"]["seconds"]
        for views in (0, 1, 8):
            whole = (views + 1) * each
            paid = whole / (EPOCHS * (live - own["seconds"]))
            yield f"{teacher:20}{views:7}{whole:10.1f}{whole / live:13.2f}  {paid:.2f}"


def _growth(figures: Figures) -> Iterator[str]:
    counts = sorted({count for way in figures if (count := _counted(way)) is not None})
    if counts:
        yield f"\n{'growth':28}{'s/1,000':>10}{'whole run s':>13}{'MB':>8}"
    for way in GROWTH if counts else ():
        for count in counts:
            figure = figures[f"{way}, {count}"]
            name = f"{way}, {count:,}"
            yield f"{name:28}{figure['seconds']:10.3f}{figure['whole']:13.1f}{figure['memory'] / MB:8.0f}"
        ends = [figures[f"{way}, {count}"] for count in (counts[0], counts[-1])]
        if counts[0] != counts[-1]:
            exponent = log(ends[1]["seconds"] / ends[0]["seconds"]) / log(counts[-1] / counts[0])
            yield f"  time per picture grows as n^{exponent:.3f}; {(ends[1]['memory'] - ends[0]['memory']) / MB:.0f} MB more"


def _counted(way: str) -> int | None:
    """Return the size of the store, where the way was measured for growth."""
    last = way.rsplit(", ", 1)[-1]
    return int(last) if last.isdigit() else None


def _aims(figures: Figures) -> Iterator[str]:
    yield "\naim                                                          reached"

    def ratio(over: str, under: str, what: str = "seconds") -> float | None:
        return figures[over][what] / figures[under][what] if {over, under} <= figures.keys() else None

    def added(way: str) -> float:
        return figures[way]["memory"] - figures["plain, kept"]["memory"]

    lines = [
        ("epoch from kept pictures / bare steps, at most 1.05", ratio("plain, kept", "bare steps")),
        ("  the same / bare steps, memory held, too", ratio("plain, kept", "bare steps, held")),
        ("epoch from kept pictures / plain training from files, at most .65", ratio("plain, kept", "image folder")),
    ]
    policies = [way for way in figures if way.endswith(", kept") and way != "plain, kept"]
    if policies and "plain, kept" in figures:
        lines += [(f"{way} / plain, at most 1.03", ratio(way, "plain, kept")) for way in policies]
        lines += [(f"{way}: MB more than plain, at most 64", added(way) / MB) for way in policies]
        if "own, kept" in policies:
            for teacher in TEACHERS:
                if f"live, {teacher}" in figures:
                    lines.append(
                        (f"live {teacher} / own, at least 20 for ViT-B/32", ratio(f"live, {teacher}", "own, kept"))
                    )
                    share = max(added("own, kept"), 0) / added(f"live, {teacher}")
                    lines.append((f"  memory that own adds / that live {teacher} adds, at most .11", share))
    for what, value in lines:
        if value is not None:
            yield f"{what:70}{value:8.2f}"
