"""The figures as tables, and the ratios that the aims speak of."""

from collections.abc import Iterator, Mapping
from math import log

from training_parts.names import GROWTH, POLICIES, TEACHERS

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
    yield (
        f"{'way':28}{'s/1,000':>10}{'lowest':>9}{'highest':>9}{'x bare':>9}{'x files':>9}{'MB':>8}{'workers':>9}{'rounds':>8}"
    )
    for way, figure in figures.items():
        if _size(way) is None:
            ratios = "".join(f"{figure['seconds'] / one:9.2f}" if one else f"{'-':>9}" for one in (limit, plain))
            times = "".join(f"{figure[name]:9.3f}" for name in ("lowest", "highest"))
            rest = f"{figure['memory'] / MB:8.0f}{figure['workers']:9.0f}{figure['rounds']:8.0f}"
            yield f"{way:28}{figure['seconds']:10.3f}{times}{ratios}{rest}"


def _passes(figures: Figures) -> Iterator[str]:
    own = figures.get("own, kept")
    told = [teacher for teacher in TEACHERS if {f"pass, {teacher}", f"live, {teacher}"} <= figures.keys()]
    if own is None or not told:
        return
    head = f"trainings of {EPOCHS} epochs until it is paid"
    yield f"\n{'embedding pass':20}{'views':>7}{'s/1,000':>10}{'live epochs':>13}  {head}"
    for teacher in told:
        each, live = figures[f"pass, {teacher}"]["seconds"], figures[f"live, {teacher}"]["seconds"]
        for views in (0, 1, 8):
            whole, saved = (views + 1) * each, EPOCHS * (live - own["seconds"])
            paid = f"{whole / saved:.2f}" if saved > 0 else "never"
            yield f"{teacher:20}{views:7}{whole:10.1f}{whole / live:13.2f}  {paid}"


def _growth(figures: Figures) -> Iterator[str]:
    sizes = sorted({size for way in figures if (size := _size(way)) is not None})
    if sizes:
        yield f"\n{'growth':28}{'s/1,000':>10}{'whole run s':>13}{'MB':>8}"
    for way in GROWTH:
        measured = {size: figures[f"{way}, {size}"] for size in sizes if f"{way}, {size}" in figures}
        for size, figure in measured.items():
            name = f"{way}, {size:,}"
            yield f"{name:28}{figure['seconds']:10.3f}{figure['whole']:13.1f}{figure['memory'] / MB:8.0f}"
        if len(measured) > 1:
            (first, start), *_, (last, end) = measured.items()
            exponent = log(end["seconds"] / start["seconds"]) / log(last / first)
            more = (end["memory"] - start["memory"]) / MB
            yield f"  steps: time for a picture grows as n^{exponent:.3f}; {more:.0f} MB more"


def _size(way: str) -> int | None:
    """Return the size of the store, where the way was measured for growth."""
    last = way.rsplit(", ", 1)[-1]
    return int(last) if last.isdigit() else None


def _aims(figures: Figures) -> Iterator[str]:
    yield f"\n{'aim':70}{'at':>10}{'reached':>9}"
    for what, sign, aim, over, under in _ratios(figures):
        if under > 0:
            value = over / under
            kept = value <= aim if sign == "<=" else value >= aim
            yield f"{what:70}{sign:>4}{aim:6.2f}{value:9.2f}  {'yes' if kept else 'NO'}"


def _ratios(figures: Figures) -> Iterator[tuple[str, str, float, float, float]]:
    """Yield what is held against what: a name, <= or >=, the aim, and the two numbers of the ratio."""

    def known(*ways: str) -> bool:
        return set(ways) <= figures.keys()

    def seconds(way: str) -> float:
        return figures[way]["seconds"]

    def added(way: str) -> float:
        return figures[way]["memory"] - figures["plain, kept"]["memory"]

    if known("plain, kept", "bare steps"):
        yield "epoch from kept pictures / bare steps", "<=", 1.05, seconds("plain, kept"), seconds("bare steps")
    for folder in ("image folder", "image folder, tuned"):
        if known("plain, kept", folder):
            yield f"epoch from kept pictures / {folder}", "<=", 0.65, seconds("plain, kept"), seconds(folder)
    for policy in POLICIES:
        for where in ("kept", "files"):
            plain, way = f"plain, {where}", f"{policy}, {where}"
            if policy != "plain" and known(plain, way):
                yield f"{way} / plain", "<=", 1.03, seconds(way), seconds(plain)
        way = f"{policy}, kept"
        if policy != "plain" and known("plain, kept", way):
            yield f"{way}: memory more than plain's / 64 MB", "<=", 1.0, max(added(way), 0), 64 * MB
    for teacher in TEACHERS:
        live = f"live, {teacher}"
        if known("plain, kept", "own, kept", live):
            aim = 20.0 if teacher == "ViT-B/32" else 1.0
            yield f"{live} / own, kept", ">=", aim, seconds(live), seconds("own, kept")
            yield f"memory that own adds / that {live} adds", "<=", 1 / 9, max(added("own, kept"), 0), added(live)
