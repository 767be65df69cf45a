"""What the figures of a comparison can't tell, in English and Japanese; pages and terminal say the same."""

from __future__ import annotations

from distill.evaluation.comparison import Comparison
from distill.evaluation.intervals import FEW_PARTS
from distill.evaluation.metrics import no_better_than_chance, too_few
from distill.evaluation.report import Report
from distill.reports.words import named, quoted
from embedstore.pages import Text, percent

MANY_INTERVALS = 10  # from so many on, one that excludes zero by chance is to be expected


def caveats(comparison: Comparison) -> list[Text]:
    """Return what a reader of the figures and intervals should know, what matters most first.

    The runs' remarks on their own data are in `comparison.remarks`, in English only.
    """
    return [
        _trainings(comparison.looks, comparison.seeds),
        *_guessing(comparison),
        *_few_parts(comparison),
        *_chance(comparison),
        *_groups(comparison),
        *_learned(comparison),
        *_thresholds(comparison),
        *_gaps(comparison),
    ]


def remarks_on(report: Report) -> list[str]:
    """Return what a reader of a run's figures should know of the student, once it is tested."""
    recall, overkill = report.recall, report.overkill
    if not no_better_than_chance(recall, overkill):
        return []
    return [
        f"At its threshold the student is no better than chance, for it rejects {recall:.1%} of the defects and {overkill:.1%} "
        "of the good parts on the test side; train it longer or in another way (distill advise) before you use it."
    ]


def _guessing(comparison: Comparison) -> list[Text]:
    """Say which ways catch no larger share of defects than they reject of good parts."""
    none = [one for one in comparison.policies if no_better_than_chance(one.recall, one.overkill)]
    if not none:
        return []
    names = [quoted(one.policy) for one in none]
    shares = [(percent(one.recall, 1), percent(one.overkill, 1)) for one in none]
    en = ", ".join(f"{name.en} ({caught}, {lost})" for name, (caught, lost) in zip(names, shares, strict=True))
    ja = "、".join(
        f"{name.ja}（検出率 {caught}、誤判定率 {lost}）" for name, (caught, lost) in zip(names, shares, strict=True)
    )
    return [
        Text(
            "No better than chance at the threshold, for no larger share of the defects is rejected than of the good parts "
            f"(shares of both): {en}.",
            f"しきい値での検出率が誤判定率を上回らず、偶然と変わらない方法：{ja}。",
        )
    ]


def _trainings(looks: int, seeds: int) -> Text:
    if looks == 1:
        return Text(
            "One seed: each way was trained once, so a difference may come from the training and not from the way. The "
            "intervals tell how far other parts would move the figures, not how far another training would; compare with "
            "three seeds before you decide.",
            "学習は各方法 1 回（乱数 1 通り）だけです。差は方法ではなく学習のばらつきかもしれません。区間が示すのは部品が変わった"
            "場合のぶれで、学習をやり直した場合のぶれは含みません。判断の前に、乱数 3 通りで比較してください。",
        )
    if looks == 2:
        advice, advice_ja = (
            ("compare with three seeds before you decide", "判断の前に、乱数 3 通りで比較してください")
            if seeds == 1
            else ("three seeds tell more", "乱数 3 通りなら、より確かになります")
        )
        return Text(
            "Each picture is tested by two trainings of each way. The intervals tell how far other parts would move the figures, "
            f"and about half of how far other trainings would; {advice}.",
            "各画像のテストは、方法ごとに学習 2 回分です。区間は部品が変わった場合のぶれと、学習をやり直した場合のぶれの約半分を"
            f"含みます。{advice_ja}。",
        )
    return Text(
        f"Each picture is tested by {looks} trainings of each way. The intervals tell how far other parts and other trainings "
        "would move the figures, as far as so many can tell.",
        f"各画像のテストは、方法ごとに学習 {looks} 回分です。区間は、部品が変わった場合と学習をやり直した場合のぶれを、"
        "この回数から分かる範囲で示します。",
    )


def _few_parts(comparison: Comparison) -> list[Text]:
    resting: dict[int, dict[str, Text]] = {}  # parts -> the figures whose intervals rest on them
    for one in comparison.against_baseline:
        if one.low is not None and one.parts < FEW_PARTS:
            resting.setdefault(one.parts, {})[one.figure] = named(one.figure)
    return [
        Text(
            f"The intervals of {', '.join(name.en for name in names.values())} rest on {parts} parts only, which makes them "
            "too narrow.",
            f"{'、'.join(name.ja for name in names.values())}の区間は {parts} 部品だけに基づくため、狭すぎます。",
        )
        for parts, names in sorted(resting.items())
    ]


def _chance(comparison: Comparison) -> list[Text]:
    intervals = sum(one.low is not None for one in comparison.against_baseline)
    if intervals < MANY_INTERVALS:
        return []
    return [
        Text(
            f"Each of the {intervals} intervals stands alone: of twenty without a true difference, one excludes zero by chance.",
            f"{intervals} 個の区間はそれぞれ独立に見たものです。本当は差がなくても、20 個に 1 個は偶然 0 を含まなくなります。",
        )
    ]


def _groups(comparison: Comparison) -> list[Text]:
    alone, pictures = comparison.without_group, comparison.pictures
    if not alone:
        return []
    return [
        Text(
            f"{alone:,} of {pictures:,} test pictures have no group, so each counts as a part of its own; where several show "
            "one part, the intervals are too narrow.",
            f"テスト画像 {pictures:,} 枚のうち {alone:,} 枚にはグループがなく、1 枚を 1 部品として数えています。"
            "同じ部品の画像が複数あれば、区間は狭すぎます。",
        )
    ]


def _learned(comparison: Comparison) -> list[Text]:
    if not comparison.learned:
        return []
    return [
        Text(
            f"Pictures that were not tested, since some trainings had to learn them, for nothing else shows their label: "
            f"{comparison.learned:,}.",
            "一部の学習で学ぶ必要があったためテストから除いた画像（ほかに同じラベルの画像がないもの）："
            f"{comparison.learned:,} 枚。",
        )
    ]


def _thresholds(comparison: Comparison) -> list[Text]:
    if comparison.validation_good is None:
        return []
    fewest = f"{comparison.validation_good:,}"
    return [
        Text(
            f"Thresholds are cross-fitted: each comes from good pictures of other parts than those tested ({fewest} where there "
            "are fewest), scored by trainings that did not learn from them. It is fitted again inside each resample, so the "
            "intervals hold its noise.",
            f"しきい値は交差適合で決めています。テストとは別の部品の良品画像（最も少ない分割で {fewest} 枚）を、"
            "それを学んでいない学習が採点した値から決め、再標本ごとに決め直しています。そのばらつきも区間に含まれます。",
        ),
        *_few_scores(comparison.validation_scores, comparison.overkill_wanted),
    ]


def _few_scores(scores: int | None, overkill: float | None) -> list[Text]:
    """Say where there are too few good pictures for a threshold."""
    if (few := too_few(scores or 0, overkill or 0.0)) is None:
        return []
    rejected, enough = few
    return [
        Text(
            f"A threshold comes from {scores:,} scores of good pictures where there are fewest, too few for an overkill of "
            f"{overkill:.1%}: on so few it rejects about {rejected:.1%} of new good parts on average, and far more or fewer in a "
            f"single case; from {enough:,} on it is at most half more than asked on average.",
            f"しきい値を決める良品のスコアは、最も少ない分割で {scores:,} 個しかなく、誤判定率 {overkill:.1%} には足りません。"
            f"これほど少ないと、新しい良品の平均およそ {rejected:.1%} が誤判定になり、個々の場合には大きく増減します。"
            f"{enough:,} 個以上あれば、平均で指定の 1.5 倍以内です。",
        )
    ]


def _gaps(comparison: Comparison) -> list[Text]:
    """Say what has no figure or interval, or one of fewer folds or resamples."""
    said = []
    some = comparison.policies[0]  # which parts are tested is the same for all
    single = sorted(one.name for one in [*some.by_mode, *some.by_class] if one.parts == 1)
    if single:
        said.append(
            Text(
                f"Shown by one part only, so without an interval: {', '.join(single)}.",
                f"1 部品にしか現れないため区間がない種類：{'、'.join(single)}。",
            )
        )
    areas, folds = comparison.folds_with_area, comparison.folds
    if areas is not None and areas < folds:
        said.append(
            Text(
                f"AUROC and AUPR are of {areas} of {folds} folds, since the others test defects only or good parts only.",
                f"AUROC と AUPR は {folds} 分割中 {areas} 分割の値です。残りのテストには不良だけ、または良品だけしかありません。",
            )
        )
    left_out = max((one.left_out for one in comparison.against_baseline), default=0)
    if left_out:
        said.append(
            Text(
                f"Up to {left_out:,} of {comparison.resamples:,} resamples lack what a figure is about and were left out of "
                "its interval.",
                f"再標本 {comparison.resamples:,} 回のうち最大 {left_out:,} 回は、指標に必要な画像がなく、区間から除きました。",
            )
        )
    return said
