"""What following `distill advise` costs, beside always taking one way: the regret on parts that the advice never saw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from advice import OUTER, RULES, TASKS, regret

from embedstore.pages import Text, Words
from page_parts.markdown import Piece, Table, code, share

_BEFORE = "advised_before"  # in a fold's record: by the rule before, where looks at that fold had part in changing it
_BESIDE = "-patches"  # how the name of a way beside patches ends
AIM = 0.03  # of recall averaged over 2 to 10 % overkill
_TASKS = {
    "magnetic-tile": Text("magnetic tiles", "磁性タイル"),
    "solar-cells": Text("solar cells", "太陽電池セル"),
    "textiles": Text("simulated textiles", "模擬織物"),
}


def advised(record: Mapping[str, Any]) -> Piece:
    """Return each outer fold, what each rule loses on average, and whether the advice loses as little as was aimed at."""
    since = _since(record)
    return [_folds(record), _rules(record), *_changed(record), _verdict(record), *_outdone(since), *_limits(since)]


def _ways(record: Mapping[str, Any]) -> list[str]:
    """Return the ways that were trained on every outer fold, in the order of simplicity."""
    first, *others = (one["mean_recall"] for one in record.values())
    return [way for way in first if all(way in other for other in others)]


def _folds(record: Mapping[str, Any]) -> Table:
    rows: list[list[Words]] = []
    for key, one in record.items():
        task, _, fold = key.partition("/")
        recall = one["mean_recall"]
        best = max(recall, key=recall.__getitem__)
        named = _TASKS.get(task, Text(task, task))
        number = int(fold) + 1
        rows.append(
            [
                Text(f"{named.en}, {number}", f"{named.ja}、{number}"),
                code(one["advised"]),
                code(best),
                share(recall[one["advised"]]),
                share(recall[best]),
                share(regret(one, one["advised"])),
            ]
        )
    heads: list[Words] = [
        Text("task and outer fold", "課題と外側の分割"),
        Text("advised", "推奨"),
        Text("the best way", "最良の方法"),
        Text("recall of the advised", "推奨の検出率"),
        Text("of the best", "最良の検出率"),
        Text("regret", "リグレット"),
    ]
    return Table(heads, rows, texts=3)


def _rules(record: Mapping[str, Any]) -> Table:
    since = [name in _since(record) for name in record]
    apart = any(since) and not all(since)  # else the column would be that of all folds, or empty
    rules = {"": [one["advised"] for one in record.values()], **{way: [way] * len(record) for way in _ways(record)}}
    rows: list[list[Words]] = []
    for way, taken in rules.items():
        lost = [regret(one, way) for one, way in zip(record.values(), taken, strict=True)]
        name = Text(f"always {code(way)}", f"常に {code(way)}")
        if not way:
            name = Text("what `distill advise` advises", "`distill advise` の推奨")
        judging = [share(_mean([one for one, late in zip(lost, since, strict=True) if late]))] if apart else []
        rows.append([name, share(_mean(lost)), *judging, share(max(lost)), share(_behind(record, taken))])
    heads = [
        Text("rule", "選び方"),
        Text("mean regret", "平均のリグレット"),
        *([Text("since the rule was changed", "選び方の変更後だけの平均")] if apart else []),
        Text("the largest", "最大"),
        Text("behind the best of each task", "課題ごとの最良との差"),
    ]
    return Table(heads, rows)


def _behind(record: Mapping[str, Any], taken: Sequence[str]) -> float:
    """Return how much recall a rule loses to the way that is best over all folds of a task, the tasks counting the same.

    A way that one lucky fold made the best of many is not the best of all folds, so this is flattered less than the regret.
    """
    chosen = dict(zip(record, taken, strict=True))
    lost = []
    for task in dict.fromkeys(name.partition("/")[0] for name in record):
        folds = {name: one for name, one in record.items() if name.partition("/")[0] == task}
        means = [_mean([one["mean_recall"][way] for one in folds.values()]) for way in _ways(folds)]
        lost.append(max(means) - _mean([one["mean_recall"][chosen[name]] for name, one in folds.items()]))
    return _mean(lost)


def _since(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the folds that judge the rule: those that had no part in changing it."""
    return {name: one for name, one in record.items() if _BEFORE not in one}


def _changed(record: Mapping[str, Any]) -> list[Text]:
    """Say what the rule lost that was changed after looks at some of the folds, and the one of today there."""
    known = {name: one for name, one in record.items() if _BEFORE in one}
    if not known:
        return []
    before = share(_mean([regret(one, one[_BEFORE]) for one in known.values()]))
    now = share(_mean(_of_advice(known)))
    return [
        Text(
            f"The rule was changed after {len(known)} of these folds, for which the tables show what it would advise today. "
            f"There the one before lost {before} on average, and this one loses {now}, which does not judge it. The folds since "
            "then do; they are of the same tasks, so they tell little of others.",
            f"選び方は、このうち {len(known)} 個の分割を見たあとで変更しました。表のこれらの分割は、今の選び方による値です。"
            f"そこでの平均のリグレットは変更前が {before}、今の選び方が {now} ですが、これは評価になりません。"
            "評価に使うのはその後の分割です。ただし課題は同じなので、ほかの課題についてはほとんど何も言えません。",
        )
    ]


def _verdict(record: Mapping[str, Any]) -> Text:
    since = _since(record)
    planned = len(TASKS) * OUTER - (len(record) - len(since))
    named = [way for way in RULES if way in _ways(record)]
    told, reached = "–", Text("not known yet", "まだ不明")
    if since:
        ours = _mean(_of_advice(since))
        less = all(ours < _mean([regret(one, way) for one in since.values()]) for way in named)
        told = share(ours)
        if len(since) == planned:
            reached = Text("reached", "達成") if ours <= AIM and less else Text("not reached", "未達成")
    rivals = Text(" and always ".join(map(code, named)), "、常に ".join(map(code, named)))
    return Text(
        f"Aimed at: a mean regret of at most {share(AIM, 2)}, and less than always {rivals.en}: **{reached.en}** "
        f"({told} in {len(since)} of {planned} outer folds; no interval, since these share parts).",
        f"目標は、平均のリグレットが {share(AIM, 2)} 以下で、常に {rivals.ja} を選ぶ場合より小さいこと：**{reached.ja}**"
        f"（外側の分割 {planned} 個のうち {len(since)} 個で {told}。部品が重なるため区間は出せません）。",
    )


def _outdone(record: Mapping[str, Any]) -> list[Text]:
    """Name the ways that lose less than the advice where each is always taken."""
    if not record:
        return []
    lost = {way: _mean([regret(one, way) for one in record.values()]) for way in _ways(record)}
    better = [way for way in sorted(lost, key=lost.__getitem__) if lost[way] < _mean(_of_advice(record))]
    if not better:
        return []
    named = [f"{code(way)} {share(lost[way])}" for way in better]
    return [
        Text(
            f"Taken always, these ways lose less in the folds that judge it, which nobody could know before: {', '.join(named)}.",
            f"評価に使う分割で、常に選んだ場合のリグレットがこれより小さい方法（事前には分からないこと）：{'、'.join(named)}。",
        )
    ]


def _limits(record: Mapping[str, Any]) -> list[Text]:
    """Say how far apart the ways beside patches are in the trials and afterwards, for that is what there is to choose by."""
    apart: list[tuple[float, float]] = []
    for one in record.values():
        beside = [way for way, value in one.get("trials", {}).items() if way.endswith(_BESIDE) and value is not None]
        if len(beside) > 1:
            tried, tested = ([one[where][way] for way in beside] for where in ("trials", "mean_recall"))
            apart.append((max(tried) - min(tried), max(tested) - min(tested)))
    if not apart:
        return []
    tried, tested = (share(_mean(list(some))) for some in zip(*apart, strict=True))
    return [
        Text(
            f"What limits it: the ways beside patches, among which it mostly chooses, are {tried} apart in the trials (the best "
            f"minus the worst in the figure it goes by, averaged over these folds) and {tested} on the outer fold, where each "
            "was trained once. So the trials hardly tell these ways apart, and part of what is lost is the luck of one training.",
            "限界：推奨は主にパッチ照合を併用する方法の中から選ばれますが、それらの差（最良と最悪の差、同じ分割での平均）は、"
            f"試行の判定に使う値では {tried}、学習が 1 回ずつの外側の分割では {tested} です。つまり試行ではこれらの方法を"
            "ほとんど見分けられず、リグレットの一部は 1 回の学習の偶然によるものです。",
        )
    ]


def _of_advice(record: Mapping[str, Any]) -> list[float]:
    return [regret(one, one["advised"]) for one in record.values()]


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)
