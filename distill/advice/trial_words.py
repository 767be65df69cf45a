"""What the trials of an advice were, and what they can't tell, in plain sentences, in English and Japanese."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from distill.advice.advice import Advice
from distill.advice.footprint import Footprint
from distill.advice.words import counted, duration
from distill.reports.caveats import caveats
from embedstore.pages import Text


def tried(advice: Advice) -> list[Text]:
    """Say what the trials were, and what was not tried."""
    plan, tested = advice.plan, advice.decision.comparison
    students = len({one.trained for one in advice.tried})
    runs = students * plan.folds * plan.seeds
    minutes = duration(advice.minutes)
    return [
        Text(
            f"The trials: each of {counted(students, 'student')} was trained for {plan.epochs} epochs on {plan.folds} folds with "
            f"{counted(plan.seeds, 'seed')}, {counted(runs, 'run')} that trained {minutes.en} all together; {tested.pictures:,} "
            f"pictures of {tested.parts:,} parts were tested, by runs that had not learned from them.",
            f"試行：{students} 通りの生徒をそれぞれ {plan.epochs} エポック、{plan.folds} 分割、乱数 {plan.seeds} 通りで学習しま"
            f"した（{runs} 回、合計 {minutes.ja}）。学習に使っていない {tested.parts:,} 部品の画像 {tested.pictures:,} 枚で"
            "テストしました。",
        ),
        *_beside(advice),
        *_not_tried(advice),
    ]


def doubts(advice: Advice) -> list[Text]:
    """Say what the trials can't tell, what matters most first."""
    plan = advice.plan
    said = []
    if plan.epochs < advice.settings.epochs:
        said.append(
            Text(
                f"The trials had {plan.epochs} epochs and the training has {advice.settings.epochs}. A student whose weights "
                "were drawn at random gains more by that than one that begins with the large model's, and what own vectors give "
                "shows late; with more --minutes the trials come closer.",
                f"試行は {plan.epochs} エポック、本学習は {advice.settings.epochs} エポックです。乱数の重みから始まる生徒は、"
                "大きなモデルの重みから始まるものより学習を延ばした効果が大きく、画像ごとの埋め込みの効果も遅れて現れます。"
                "--minutes を増やすほど試行は本学習に近づきます。",
            )
        )
    if advice.learned < advice.training:
        said.append(
            Text(
                f"A run of the trials learned from {advice.learned:,} pictures, and the training learns from "
                f"{advice.training:,}, so it should reach a little more.",
                f"試行では 1 回あたり {advice.learned:,} 枚から学習しました。本学習は {advice.training:,} 枚から学ぶので、"
                "結果はやや良くなる見込みです。",
            )
        )
    if len(advice.tried) > 1:
        said.append(
            Text(
                f"The figures of the best of {len(advice.tried)} ways are a little too good, since chance helped to make it the "
                "best.",
                f"{len(advice.tried)} 方法のうち最も良いものの値は、偶然にも助けられているため、やや良すぎます。",
            )
        )
    if advice.looks.tested and len(advice.tried) > 1:
        said.append(
            Text(
                f"The trials tested the {advice.looks.tested:,} pictures on the store's test side, too, so they took part in "
                "choosing the way, and what the training reports on that side is a little too good as well.",
                f"試行ではストアのテスト側の画像 {advice.looks.tested:,} 枚もテストに使い、方法の選択に関わっています。そのため、"
                "本学習がテスト側で報告する値もやや良すぎます。",
            )
        )
    if advice.needs.good is None:
        said.append(
            Text(
                "Without a label of good parts (--good LABEL) nothing is told of escapes and overkill.",
                "良品のラベル（--good LABEL）がないため、見逃しと誤判定については分かりません。",
            )
        )
    decision = advice.decision
    told = [
        one for one in decision.comparison.differences if one.figure == decision.figure
    ]  # the others are not told here
    return [
        *said,
        *caveats(replace(decision.comparison, differences=told)),
        *(Text(one, f"（英語の注記）{one}") for one in advice.remarks),
    ]


def _beside(advice: Advice) -> list[Text]:
    """Say how many ways asked patches, too, and what those learned from."""
    beside = sum(one.alone is not None for one in advice.tried)
    if not beside:
        return []
    alone = len(advice.tried) - beside
    return [
        Text(
            f"By their heads alone these students are {counted(alone, 'way')}, beside patches {counted(beside, 'way')}; patches "
            "are learned from the pictures that a run learns from, once for all students.",
            f"生徒だけで答える方法は {alone}、パッチ照合を併用する方法は {beside} です。"
            "パッチは各回の学習側の画像から求め、どの生徒にも共通です。",
        )
    ]


def _not_tried(advice: Advice) -> list[Text]:
    """Say which ways were not tried and why; those that share a reason together."""
    of_reason: dict[Text, list[str]] = {}
    for one in advice.left_out:
        if one.footprint is None:
            of_reason.setdefault(one.why, []).append(one.name)
    return [
        *(_too_large(advice, one.name, one.footprint) for one in advice.left_out if one.footprint is not None),
        *(
            Text(
                f"Not tried: {_quoted(names)}. {why.en}",
                f"試していない方法：{''.join(f'「{name}」' for name in names)}。{why.ja}",
            )
            for why, names in of_reason.items()
        ),
    ]


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _too_large(advice: Advice, name: str, need: Footprint) -> Text:
    needs = advice.needs
    limits = [
        limit
        for limit in (
            None if needs.max_megabytes is None else f"{needs.max_megabytes:g} MB",
            None if needs.max_milliseconds is None else f"{needs.max_milliseconds:g} ms",
        )
        if limit is not None
    ]
    needed = f"{need.megabytes:.2f} MB / {need.milliseconds:.1f} ms"
    return Text(
        f"Not tried: '{name}' needs {needed}; the terminal allows {' / '.join(limits)}.",
        f"試していない方法：「{name}」は {needed} が必要です（端末の上限 {' / '.join(limits)}）。",
    )
