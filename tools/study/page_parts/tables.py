"""The tables of what was trained."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from screen import RECIPES

from distill.evaluation.comparison import PolicyFigures
from embedstore.pages import Text, Words, number, percent
from embedstore.pages.words import NO_NUMBER
from page_parts.evidence import GIVEN, MAIN, OVERKILL, OWN, UNTRAINED, Compared, Evidence, precision_of
from page_parts.markdown import Table, between, code, codes, gap_of, share, size, with_interval
from page_parts.names import MEANS, RANDOM, described, family, recipe_named

CONDITION = Text("condition", "条件")
_EQUAL = 0.1  # bytes that differ by less count as equal
DIFFERENCES = {
    "mean_recall": Text("mean recall", "平均検出率"),
    "macro_mode_recall": Text("macro-mode recall", "種類の平均"),
    "auroc": Text("AUROC", "AUROC"),
}


def planned(evidence: Evidence) -> Table:
    """Return every condition, what it is and whether it is finished."""
    known = {key: (one.says, one.part) for key, one in evidence.planned.items()}
    known |= {key: (one.about["says"], one.about["part"]) for key, one in evidence.finished.items() if key not in known}
    rows: list[Sequence[Words]] = [
        [
            code(key),
            described(key.split("/")[1], says),
            Text("finished", "完了") if key in evidence.finished else Text("to train", "未学習"),
        ]
        for key, (says, _) in known.items()
    ]
    return Table([CONDITION, Text("what it is", "内容"), Text("state", "状態")], rows, texts=3)


def recipes_tried(search: dict[str, Any]) -> Table:
    """Return the validation AUROC of each recipe of each method, the chosen one bold."""
    rows: list[Sequence[Words]] = []
    for method, tried in search["tried"].items():
        chosen = max(tried, key=lambda one: tried[one]["val_auroc"])
        row: list[Words] = [code(method)]
        for name, told in tried.items():
            called, area, bold = recipe_named(name), share(told["val_auroc"]), "**" if name == chosen else ""
            row.append(Text(f"{bold}{called.en}: {area}{bold}", f"{bold}{called.ja}：{area}{bold}"))
        rows.append(row)
    most = max(len(row) for row in rows)
    rows = [[*row, *[""] * (most - len(row))] for row in rows]
    heads = [Text(f"recipe {at}", f"設定 {at}") for at in range(1, most)]
    return Table([Text("method", "方法"), *heads], rows, texts=most)


def screened_seeds(screen: dict[str, Any]) -> int:
    """Return with how many seeds each recipe of the screen was trained, at least."""
    return min(len(told["val_auroc"]) for told in screen["tried"].values())


def screened(screen: dict[str, Any]) -> Table:
    """Return what each recipe of the screen reached, and how far, seed by seed, it is above the condition that it changes."""
    seeds = screened_seeds(screen)
    rows: list[Sequence[Words]] = []
    for name, told in screen["tried"].items():
        areas, before = told["val_auroc"], screen["tried"][told["of"]]["val_auroc"]
        gaps = [
            one - other for one, other in zip(areas, before, strict=False)
        ]  # a new recipe may have fewer seeds so far
        above = Text(NO_NUMBER, NO_NUMBER)
        if name != told["of"]:
            span, mean = between(min(gaps), max(gaps)), share(math.fsum(gaps) / len(gaps), signed=True)
            above = Text(f"{mean} ({span.en})", f"{mean}（{span.ja}）") if seeds > 1 else Text(mean, mean)
        rows.append([code(name), RECIPES[name].says, share(math.fsum(areas) / len(areas)), above, code(told["of"])])
    return Table(
        [
            Text("recipe", "設定"),
            Text("what is changed", "変えたこと"),
            Text("validation AUROC", "検証の AUROC"),
            Text("above what it changes", "元の設定との差"),
            Text("which is", "元の設定"),
        ],
        rows,
        texts=2,
    )


def trained_again(search: dict[str, Any] | None, screen: dict[str, Any] | None) -> Text | None:
    """Return how far the search's own recipe came when the screen trained it again; None where that says nothing.

    The settings and the seed are the same; the machine, and what else was changed between the two, is not recorded.
    """
    if search is None or screen is None or OWN not in screen["tried"] or search["epochs"] != screen["epochs"]:
        return None
    tried = search["tried"][OWN]
    before = max(told["val_auroc"] for told in tried.values())
    after = screen["tried"][OWN]["val_auroc"][0]
    if before == after:
        return None
    there, here = share(before), share(after)
    return Text(
        "The search had trained the first recipe with its first seed before, by the same settings at another time: "
        f"{there} there, as the best of {len(tried)}, {here} here. So far may so short a training on one split move without any "
        "change of its recipe.",
        "最初の設定の最初の乱数は、調整のときにも同じ設定で学習しています。AUROC はそのとき "
        f"{there}（{len(tried)} 通りの中で最良）、今回 {here} でした。短い学習を 1 つの分割で判断すると、設定が同じでも"
        "これほど動くことがあります。",
    )


def figures(compared: Compared, names: Iterable[str]) -> Table:
    """Return all figures and costs of some conditions."""
    rows: list[Sequence[Words]] = []
    for name in names:
        one, about = compared.figures[name], compared.finished[name].about
        taught = about["part"] not in UNTRAINED
        rows.append(
            [
                code(name),
                share(one.auroc),
                f"{share(one.recall)} ({percent(one.overkill, 1)})",
                share(one.mean_recall),
                share(one.macro_mode_recall),
                worst(one),
                NO_NUMBER if one.zero_escape_overkill is None else percent(one.zero_escape_overkill, 0),
                number(one.seconds / len(compared.finished[name].runs), 0) if taught else NO_NUMBER,
                f"{about['parameters'] / 1e6:.2f} M" if taught else NO_NUMBER,
            ]
        )
    wanted = percent(OVERKILL)
    heads = [
        CONDITION,
        Text("AUROC", "AUROC"),
        Text(f"recall at {wanted} (overkill reached)", f"誤判定 {wanted} での検出率（実際の誤判定率）"),
        Text("mean recall, 2 to 10 %", "平均検出率（2～10 %）"),
        Text("macro-mode recall", "種類の平均"),
        Text("worst kind", "最も苦手な種類"),
        Text("overkill for no escape", "見逃しゼロでの誤判定率"),
        Text("seconds a training, beside others", "学習 1 回の秒数（並行時）"),
        Text("parameters", "パラメータ"),
    ]
    return Table(heads, rows)


def worst(one: PolicyFigures) -> Text:
    """Return the worst kind of defect with its recall and interval."""
    kind = one.by_mode[0]
    told = with_interval(kind.recall, kind.low, kind.high)
    return Text(f"{kind.name} {told.en}", f"{kind.name} {told.ja}")


def differences(compared: Compared, names: Iterable[str], baseline: str) -> Table:
    """Return the paired differences of some conditions to one of them."""
    rows: list[Sequence[Words]] = [
        [code(name), *(gap_of(compared.difference(name, baseline, figure)) for figure in DIFFERENCES)]
        for name in names
        if name != baseline
    ]
    minus = f" − {code(baseline)}"
    return Table([CONDITION, *(Text(one.en + minus, one.ja + minus) for one in DIFFERENCES.values())], rows)


def beside_heads(compared: Compared, names: Iterable[str]) -> Table:
    """Return what it gives to ask patches beside the head that a condition asks alone: paired differences to that."""
    of = {name: compared.finished[name].about["of"] for name in names if compared.finished[name].about["of"]}
    rows: list[Sequence[Words]] = [
        [code(name), code(base), *(gap_of(compared.difference(name, base, figure)) for figure in DIFFERENCES)]
        for name, base in of.items()
    ]
    minus = Text(" − the head alone", " − ヘッドのみ")
    heads = [Text(one.en + minus.en, one.ja + minus.ja) for one in DIFFERENCES.values()]
    return Table([CONDITION, Text("the head of", "ヘッド"), *heads], rows, texts=2)


def held_against(compared: Compared, names: Iterable[str]) -> Table | None:
    """Return what conditions of fewer runs gain over what each is held against; None where nothing is there for that."""
    rows: list[Sequence[Words]] = [
        [code(name), code(rival), *(gap_of(compared.difference(name, rival, figure)) for figure in DIFFERENCES)]
        for name in names
        if name not in compared.borrowed
        for rival in compared.rivals_of(name)
    ]
    minus = Text(" − that", "の差")
    heads = [Text(one.en + minus.en, one.ja + minus.ja) for one in DIFFERENCES.values()]
    return Table([CONDITION, Text("held against", "比べる相手"), *heads], rows, texts=2) if rows else None


def by_bytes(compared: Compared, names: Iterable[str]) -> Table:
    """Return what each summary keeps against its bytes, and against k-means and random samples of equal bytes."""
    own = compared.nbytes(OWN)
    rows: list[Sequence[Words]] = []
    for name in sorted(names, key=lambda one: (compared.nbytes(one) or 0, one)):
        one, nbytes = compared.figures[name], compared.nbytes(name)
        part = NO_NUMBER if nbytes is None or own is None else f"1/{own / nbytes:,.0f}" if nbytes < own else "1"
        rows.append(
            [
                code(name),
                size(nbytes),
                part,
                share(one.auroc),
                share(one.mean_recall),
                share(one.macro_mode_recall),
                *(
                    _over(compared, name, compared.as_trained(OWN, name), figure)
                    for figure in ("macro_mode_recall", "auroc")
                ),
                *(_over(compared, name, rival_in_bytes(compared, name, of)) for of in (MEANS, RANDOM)),
            ]
        )
    macro = DIFFERENCES["macro_mode_recall"]
    heads = [
        CONDITION,
        Text("bytes", "容量"),
        Text("of own's", "own 比"),
        Text("AUROC", "AUROC"),
        DIFFERENCES["mean_recall"],
        macro,
        Text(f"{macro.en} − {code(OWN)}", f"{macro.ja} − {code(OWN)}"),
        Text(f"AUROC − {code(OWN)}", f"AUROC − {code(OWN)}"),
        Text(f"{macro.en} − k-means of as many bytes", f"{macro.ja} − 同容量以上の k-means"),
        Text(f"{macro.en} − random of as many bytes", f"{macro.ja} − 同容量以上の無作為抽出"),
    ]
    return Table(heads, rows)


def _over(compared: Compared, name: str, rival: str | None, figure: str = "macro_mode_recall") -> Text:
    """Return what a condition gains over its rival, and who that is where the heading does not say it."""
    if rival is None or rival == OWN:
        return gap_of(None if rival is None else compared.difference(name, rival, figure))
    said = gap_of(compared.difference(name, rival, figure))
    return Text(f"{said.en} {code(rival)}", f"{said.ja} {code(rival)}")


def rival_in_bytes(compared: Compared, name: str, of_family: str) -> str | None:
    """Return the condition of a family that a summary must beat: the one of fewest bytes that has as many, within a tenth.

    Its students saw pictures as large, and as long. None where the family has none, and for a condition of the family itself.
    """
    nbytes = compared.nbytes(name)
    if nbytes is None or family(name) == of_family:
        return None
    enough = [
        (theirs, one)
        for one in compared.finished
        if family(one) == of_family
        and compared.variant(one) == compared.variant(name)
        and (theirs := compared.nbytes(one)) is not None
        and theirs >= (1 - _EQUAL) * nbytes
    ]
    return min(enough)[1] if enough else None


def by_kind(compared: Compared, names: Iterable[str]) -> Table:
    """Return each kind's recall with its interval."""
    kinds = kinds_of(compared)
    rows: list[Sequence[Words]] = []
    for name in names:
        found = {one.name: one for one in compared.figures[name].by_mode}
        rows.append([code(name), *(with_interval(found[k].recall, found[k].low, found[k].high) for k in kinds)])
    counted = {one.name: one for one in compared.comparison.policies[0].by_mode}
    heads = [
        Text(
            f"{k}: {counted[k].pictures} of {counted[k].parts} parts",
            f"{k}：{counted[k].parts} 部品の {counted[k].pictures} 枚",
        )
        for k in kinds
    ]
    return Table([CONDITION, *heads], rows)


def kinds_of(compared: Compared) -> list[str]:
    """Return the kinds of defect, the rarest last."""
    of_first = compared.comparison.policies[0].by_mode
    return [one.name for one in sorted(of_first, key=lambda one: (-one.pictures, one.name))]


def leaking(evidence: Evidence) -> Table | None:
    """Return the figures on merged groups beside those on the given ones, which leak; None without conditions in both."""
    merged, given = evidence.data.get(MAIN), evidence.data.get(GIVEN)
    both = [name for name in given.figures if merged and name in merged.figures] if given else []
    if merged is None or given is None or not both:
        return None
    rows: list[Sequence[Words]] = []
    for name in both:
        row: list[Words] = [code(name)]
        for figure in DIFFERENCES:
            honest, flattered = (getattr(of.figures[name], figure) for of in (merged, given))
            row += [share(honest), share(flattered), share(flattered - honest, signed=True)]
        rows.append(row)
    heads: list[Words] = [CONDITION]
    for one in DIFFERENCES.values():
        heads += [one, Text("given groups", "付属グループ"), Text("flattered by", "見かけの上昇")]
    return Table(heads, rows)


def trainings(evidence: Evidence) -> Table | None:
    """Return which machine trained what, in how many hours of training; None before anything is trained."""
    found: dict[tuple[str, str, int], list[str]] = {}
    for key, one in evidence.finished.items():
        if one.about["part"] not in UNTRAINED and one.about.get("of") is None:  # asking trains nothing
            machine = one.about["machine"]
            # The first results do not say: only GPUs computed in bfloat16 then.
            found.setdefault((machine, precision_of(one), one.about["jobs"]), []).append(key)
    most = max(found.values(), key=len, default=[])
    rows: list[Sequence[Words]] = []
    for (machine, precision, jobs), keys in sorted(found.items()):
        runs = [run for key in keys for run in evidence.finished[key].runs]
        hours = f"{sum(run.seconds for run in runs) / 3600:.1f}"
        rest = Text(f"the {len(keys)} others", f"ほかの {len(keys)} 条件") if len(found) > 1 else Text("all", "すべて")
        rows.append([machine, precision, rest if keys is most else codes(keys), str(jobs), str(len(runs)), hours])
    heads = [
        Text("machine", "マシン"),
        Text("layers in", "計算の精度"),
        Text("conditions", "条件"),
        Text("at a time", "同時に"),
        Text("trainings", "学習回数"),
        Text("hours of training, summed", "学習時間の合計（時間）"),
    ]
    return Table(heads, rows, texts=3) if rows else None
