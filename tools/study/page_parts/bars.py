"""What was aimed at before anything was trained, and whether it is reached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from embedstore.pages import Text, Words
from page_parts.answer import DECIDES, LOSS, QUARTER, cheapest, store_ways
from page_parts.evidence import OWN, PLAIN, PROBE, TRUNK, Compared, strongest_rival, trunks
from page_parts.markdown import Table, code, gap_of, share, size
from page_parts.names import MEANS, RANDOM, is_rare_aware
from page_parts.tables import rival_in_bytes

MOST_PARAMETERS = 2_000_000
_UNKNOWN = Text("not known yet", "まだ不明")


@dataclass(frozen=True)
class Bar:
    """An aim.

    Attributes:
        aim: in words.
        best: the condition that comes nearest; None where that is not known yet.
        told: what it reaches.
        reached: whether that is the aim; None where that is not known yet.
    """

    aim: Text
    best: str | None = None
    told: Words = _UNKNOWN
    reached: bool | None = None


def bars(main: Compared) -> list[Bar]:
    """Return the aims of the study and of its stretch, for students that begin at random and have under 2 M parameters."""
    return [
        _at_least(main, Text("AUROC .93", "AUROC .93"), "auroc", 0.93),
        _above_probe(main, 0.03),
        _at_least(main, Text("macro-mode recall .72", "種類の平均の検出率 .72"), DECIDES, 0.72),
        _rare_aware(main),
        _smallest(main),
        _at_least(main, Text("stretch: AUROC .95", "さらに上：AUROC .95"), "auroc", 0.95),
        _at_least(main, Text("stretch: mean recall .78", "さらに上：平均検出率 .78"), "mean_recall", 0.78),
        _worst_kind(main, 0.70),
        _above_trunk(main),
    ]


def bars_table(main: Compared) -> Table:
    """Return the aims, the nearest condition and whether each is reached."""
    verdict = {True: Text("**reached**", "**達成**"), False: Text("not reached", "未達成"), None: _UNKNOWN}
    rows: list[Sequence[Words]] = [
        [one.aim, "–" if one.best is None else code(one.best), one.told, verdict[one.reached]] for one in bars(main)
    ]
    heads = [
        Text("aim", "目標"),
        Text("nearest", "最も近い条件"),
        Text("what it reaches", "到達値"),
        Text("verdict", "判定"),
    ]
    return Table(heads, rows, texts=4)


def _small(main: Compared) -> list[str]:
    """Return the students that the aims are for."""
    return [name for name in store_ways(main) if main.finished[name].about["parameters"] < MOST_PARAMETERS]


def _at_least(main: Compared, aim: Text, figure: str, wanted: float) -> Bar:
    def reached(name: str) -> float:
        return float(getattr(main.figures[name], figure) or 0)

    return _highest(aim, _small(main), reached, wanted)


def _worst_kind(main: Compared, wanted: float) -> Bar:
    aim = Text("stretch: recall of the worst kind .70", "さらに上：最も苦手な種類の検出率 .70")
    return _highest(aim, _small(main), lambda name: main.figures[name].by_mode[0].recall, wanted)


def _highest(aim: Text, names: Sequence[str], reached: Callable[[str], float], wanted: float) -> Bar:
    if not names:
        return Bar(aim)
    best = max(names, key=reached)
    return Bar(aim, best, share(reached(best)), reached(best) >= wanted)


def _above_probe(main: Compared, wanted: float) -> Bar:
    aim = Text(
        f"mean recall {share(wanted, 2)} above {code(PROBE)}'s",
        f"平均検出率が {code(PROBE)} より {share(wanted, 2)} 上",
    )
    found = [one for name in _small(main) if (one := main.difference(name, PROBE, "mean_recall")) is not None]
    if not found:
        return Bar(aim)
    best = max(found, key=lambda one: one.value or 0)
    return Bar(aim, best.policy, gap_of(best), (best.value or 0) >= wanted)


def _rare_aware(main: Compared) -> Bar:
    aim = Text(
        "a rare-aware summary of at most a quarter of own's bytes, above k-means and above random samples of as many bytes "
        "or more in macro-mode recall, both intervals above 0",
        "own の 4 分の 1 以下の容量で、希少な画像を残す要約が、同容量以上の k-means と無作為抽出の両方を種類の平均で上回る"
        "（どちらの区間も 0 より上）",
    )
    own, tried = main.nbytes(OWN), []
    for name in _small(main):
        nbytes = main.nbytes(name)
        if not is_rare_aware(name) or nbytes is None or own is None or nbytes > QUARTER * own:
            continue
        rivals = [rival_in_bytes(main, name, of) for of in (MEANS, RANDOM)]
        gaps = [main.difference(name, rival, DECIDES) for rival in rivals if rival is not None]
        lows = [one.low for one in gaps if one is not None and one.low is not None]
        if len(lows) == len(rivals):
            tried.append((min(lows), name, gaps))
    if not tried:
        return Bar(aim)
    low, name, gaps = max(tried, key=lambda one: (one[0], one[1]))
    to_means, to_random = (gap_of(one) for one in gaps)
    told = Text(
        f"{to_means.en} to k-means, {to_random.en} to random", f"k-means と {to_means.ja}、無作為抽出と {to_random.ja}"
    )
    return Bar(aim, name, told, low > 0)


def _smallest(main: Compared) -> Bar:
    aim = Text(
        f"the smallest summary whose AUROC is less than {share(LOSS, 2)} below own's by the whole interval",
        f"AUROC の低下が区間全体で {share(LOSS, 2)} 未満の、最小の要約",
    )
    if main.nbytes(OWN) is None:
        return Bar(aim)
    name = cheapest(main)
    if name is None:
        return Bar(aim, None, Text("none", "なし"), False)
    told = gap_of(main.difference(name, main.as_trained(OWN, name), "auroc"))
    return Bar(aim, name, Text(f"{size(main.nbytes(name))}, {told.en}", f"{size(main.nbytes(name))}、{told.ja}"), True)


def _above_trunk(main: Compared) -> Bar:
    taught = [name for name in trunks(main) if main.finished[name].about["method"] != PLAIN]
    found = [
        one
        for name in taught
        if (rival := strongest_rival(main, name)) is not None
        and (one := main.difference(name, rival, DECIDES)) is not None
    ]
    best = max(found, key=lambda one: one.value or 0, default=None)
    beaten = code(strongest_rival(main) or TRUNK) if best is None else code(best.baseline)
    aim = Text(
        f"stretch: above {beaten} in macro-mode recall, from the same weights of the teacher",
        f"さらに上：{beaten} と同じく教師の重みから始めて、種類の平均で上回る",
    )
    if best is None:
        return Bar(aim)
    return Bar(aim, best.policy, gap_of(best), best.verdict == "more")
