"""The answer of a comparison in two sentences that anyone understands, saying no more than is known."""

from __future__ import annotations

from collections.abc import Sequence

from distill.evaluation.comparison import Comparison, main_figure
from distill.evaluation.intervals import Difference
from distill.reports.words import quoted
from embedstore.pages import Text, number

MOST_NAMES = 2  # of ways that find fewer; more are counted


def answer(comparison: Comparison) -> Text:
    """Say which way of training finds more than the baseline and, where each was trained once, that this may be chance."""
    found = [one for one in comparison.against_baseline if one.figure == main_figure(comparison.good)]
    first = _compared(comparison, found)
    if comparison.seeds > 1 or not any(one.verdict in ("more", "less") for one in found):
        return first
    once = trained_once(comparison)
    return Text(
        f"{first.en} {once.en}, so it may be the training and not the way: compare with three seeds (trainings of each) to know.",
        f"{first.ja}ただし{once.ja}で、方法ではなく学習のばらつきかもしれません。"
        "確かめるには、学習を 3 回ずつ行って比較してください。",
    )


def trained_once(comparison: Comparison) -> Text:
    """Say how few trainings there are with one seed."""
    if comparison.looks == 1:
        return Text("Each way was trained once", "各方法の学習は 1 回だけ")
    return Text(
        "Each picture was tested by two trainings of each way only", "各画像のテストは方法ごとに学習 2 回分だけ"
    )


def _compared(comparison: Comparison, found: Sequence[Difference]) -> Text:
    base = quoted(comparison.baseline)
    defects = comparison.good is not None
    what = "defects" if defects else "pictures right"
    verb, verb_ja = ("finds", "検出") if defects else ("gets", "正答")
    if not found:
        return Text(
            f"Only {base.en} was trained, so there is nothing to compare.", f"{base.ja}だけなので比較できません。"
        )
    better = [one for one in found if one.verdict == "more"]
    worse = [one for one in found if one.verdict == "less"]
    if better:
        best = max(better, key=lambda one: one.value or 0)
        gain, span = _gain(best)
        name, rank, rest = quoted(best.policy), _rank(best, found), _fewer(worse, verb, verb_ja)
        of, of_ja = ("defects", "不良 ") if defects else ("pictures (labels counting alike)", "画像（ラベル平均）")
        right, right_ja = ("", "検出しました") if defects else (" right", "正しく分類しました")
        return Text(
            f"Of every 100 {of}, {name.en}{rank.en} {verb} {gain} more{right} than {base.en} ({span.en})"
            f"{f'; {rest.en}' if worse else ''}.",
            f"{of_ja}100 件あたり、{rank.ja}{name.ja}は{base.ja}より {gain} 件（{span.ja}）多く{right_ja}。"
            f"{f'{rest.ja}。' if worse else ''}",
        )
    if worse:
        rest = _fewer(worse, verb, verb_ja)
        return Text(
            f"On these pictures no way {verb} more {what} than {base.en}; {rest.en}.",
            f"この画像では、{base.ja}より{verb_ja}が多い方法はありませんでした。{rest.ja}。",
        )
    if all(one.verdict == "unknown" for one in found):
        return Text(
            f"These pictures show too few parts to tell whether any way {verb} more {what} than {base.en}.",
            f"部品が少なすぎるため、{base.ja}より多く{verb_ja}する方法があるかどうかは分かりません。",
        )
    return Text(
        f"On these pictures no way {verb} more or fewer {what} than {base.en} beyond what chance gives.",
        f"この画像では、{base.ja}との{verb_ja}数の差はどの方法も偶然の範囲内です。",
    )


def _rank(best: Difference, found: Sequence[Difference]) -> Text:
    """Say of how many ways it is the best, the baseline counted; of many, one is the best by chance alone."""
    if len(found) == 1:
        return Text("", "")
    ways = len(found) + 1
    if any((one.value or 0) > (best.value or 0) for one in found):  # by a way whose interval holds zero
        return Text(f", one of {ways} ways,", f"{ways} 通りの方法の一つである")
    return Text(f", the best of {ways} ways,", f"{ways} 通りの方法の中で最も良い")


def _fewer(worse: Sequence[Difference], verb: str, verb_ja: str) -> Text:
    if len(worse) > MOST_NAMES:
        return Text(f"{len(worse)} ways {verb[:-1]} fewer", f"{len(worse)} 通りの方法は{verb_ja}が減りました")
    names = [quoted(one.policy) for one in worse]
    said = verb if len(names) == 1 else verb[:-1]  # finds, find
    return Text(
        f"{' and '.join(name.en for name in names)} {said} fewer",
        f"{'と'.join(name.ja for name in names)}は{verb_ja}が減りました",
    )


def _gain(best: Difference) -> tuple[str, Text]:
    """Return a gain in recall as pictures of 100, whole ones where that is enough, and its interval."""
    shares = [100 * (value or 0) for value in (best.value, best.low, best.high)]
    digits = 0 if min(map(abs, shares)) >= 1 else 1
    value, low, high = (number(share, digits) for share in shares)
    return value, Text(f"95 % interval {low} to {high}", f"95 % 区間 {low}～{high}")
