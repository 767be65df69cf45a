"""What a comparison can't tell, in both languages."""

from dataclasses import replace
from typing import Any

import pytest
from toy_comparison import OTHER, PLAIN, WORST, comparison, difference

from distill.evaluation.comparison import PolicyFigures
from distill.evaluation.intervals import FEW_PARTS, FIGURES
from distill.reports.caveats import MANY_INTERVALS, caveats
from distill.reports.words import named


def said(language: str = "en", **changes: Any) -> list[str]:
    """Return the caveats of a comparison after the first one, which is about its seeds."""
    return [getattr(one, language) for one in caveats(comparison(**changes))[1:]]


@pytest.mark.parametrize(
    ("seeds", "looks", "en", "ja"),
    [
        (1, 1, "One seed: each way was trained once, so a difference may come from the training", "学習のばらつき"),
        (
            1,
            2,
            "Each picture is tested by two trainings of each way. The intervals tell how far other",
            "学習 2 回分です",
        ),
        (1, 2, "and about half of how far other trainings would; compare with three seeds before", "約半分"),
        (2, 2, "and about half of how far other trainings would; three seeds tell more.", "約半分"),
        (2, 4, "other parts and other trainings would move the figures, as far as so many can tell", "範囲で示します"),
        (3, 6, "Each picture is tested by 6 trainings of each way.", "方法ごとに学習 6 回分です"),
        (3, 3, "Each picture is tested by 3 trainings of each way.", "方法ごとに学習 3 回分です"),
    ],
)
def test_what_the_intervals_hold_hangs_on_the_trainings(seeds: int, looks: int, en: str, ja: str) -> None:
    first = caveats(comparison(seeds=seeds, looks=looks))[0]
    assert en in first.en
    assert ja in first.ja
    assert ("before you decide" in first.en) == ("判断の前に" in first.ja) == (seeds == 1)


def test_a_comparison_without_doubts_has_no_further_caveat() -> None:
    assert said() == []


def test_few_parts_are_told_once_for_all_figures_that_rest_on_them() -> None:
    few = [
        difference(parts=FEW_PARTS - 1),
        difference(figure="mean_recall", parts=FEW_PARTS - 1),
        difference(policy="own", parts=FEW_PARTS - 1),
        difference(figure="overkill", parts=FEW_PARTS),
        difference(figure="auroc", parts=1, low=None, high=None, verdict="unknown"),
    ]
    assert said(differences=few) == [
        f"The intervals of recall at the stated overkill, recall averaged over 2 to 10 % overkill rest on {FEW_PARTS - 1} parts "
        "only, which makes them too narrow.",
    ]
    assert said("ja", differences=few) == [
        f"検出率（目標の誤判定率）、検出率（誤判定 2～10 % の平均）の区間は {FEW_PARTS - 1} 部品だけに基づくため、狭すぎます。"
    ]


def test_ways_that_guess_are_told_by_name() -> None:
    guessing = [replace(PLAIN, recall=0.04), replace(PLAIN, policy="own", recall=0.0, overkill=0.118)]
    assert said(policies=[*guessing, replace(PLAIN, policy="medoids", recall=0.05)]) == [
        "No better than chance at the threshold, for no larger share of the defects is rejected than of the good parts "
        "(shares of both): 'plain training' (4.0\u202f%, 4.0\u202f%), 'own embeddings' (0.0\u202f%, 11.8\u202f%)."
    ]
    assert said("ja", policies=guessing) == [
        "しきい値での検出率が誤判定率を上回らず、偶然と変わらない方法：「通常の学習」（検出率 4.0\u202f%、誤判定率 4.0\u202f%）、"
        "「画像ごとの埋め込み」（検出率 0.0\u202f%、誤判定率 11.8\u202f%）。"
    ]
    assert said(policies=[replace(PLAIN, recall=None), replace(PLAIN, policy="own", overkill=None)]) == []


def test_many_intervals_are_told_to_find_something_by_chance() -> None:
    many = [difference(policy=f"p{number}") for number in range(MANY_INTERVALS)]
    assert said(differences=many) == [
        f"Each of the {MANY_INTERVALS} intervals stands alone: of twenty without a true difference, one excludes zero by chance."
    ]
    assert f"{MANY_INTERVALS} 個の区間" in said("ja", differences=many)[0]
    assert said(differences=[*many[1:], difference(low=None, high=None, verdict="unknown")]) == []


@pytest.mark.parametrize(
    ("scores", "overkill", "told"), [(79, 0.025, True), (80, 0.025, False), (19, 0.05, True), (19, 0.0, False)]
)
def test_too_few_scores_for_a_threshold_are_told(scores: int, overkill: float, told: bool) -> None:
    changes = {"validation_good": 10, "validation_scores": scores, "overkill_wanted": overkill}
    assert len(said(**changes)) == len(said("ja", **changes)) == 1 + told
    if told:
        assert (
            f"from {scores} scores of good pictures where there are fewest, too few for an overkill"
            in said(**changes)[1]
        )
        assert said(**changes)[1].endswith(
            f"from {round(2 / overkill)} on it is at most half more than asked on average."
        )
        assert f"{scores} 個しかなく" in said("ja", **changes)[1]


@pytest.mark.parametrize(
    ("changes", "en", "ja"),
    [
        ({"without_group": 1200}, "1,200 of 1,344 test pictures have no group", "1,344 枚のうち 1,200 枚"),
        (
            {"validation_good": 1200},
            "Thresholds are cross-fitted: each comes from good pictures of other parts than those tested (1,200 where there are "
            "fewest), scored by trainings that did not learn from them.",
            "しきい値は交差適合で決めています。テストとは別の部品の良品画像（最も少ない分割で 1,200 枚）を",
        ),
        ({"learned": 3}, "since some trainings had to learn them, for nothing else shows their label: 3.", "：3 枚。"),
        ({"folds_with_area": 2}, "AUROC and AUPR are of 2 of 3 folds", "3 分割中 2 分割"),
        (
            {"differences": [difference(left_out=7), difference(policy="own", left_out=16)]},
            "Up to 16 of 2,000 resamples lack what a figure is about",
            "再標本 2,000 回のうち最大 16 回",
        ),
        (
            {"policies": [replace(PLAIN, by_mode=[replace(WORST, parts=1), OTHER, replace(OTHER, name="a", parts=1)])]},
            "Shown by one part only, so without an interval: a, spot.",
            "区間がない種類：a、spot。",
        ),
        (
            {"policies": [PolicyFigures("none", by_class=[replace(WORST, name="b", parts=1)])], "good": None},
            "Shown by one part only, so without an interval: b.",
            "区間がない種類：b。",
        ),
    ],
)
def test_what_was_measured_is_told_in_both_languages(changes: dict[str, Any], en: str, ja: str) -> None:
    assert len(said(**changes)) == 1
    assert en in said(**changes)[0]
    assert ja in said("ja", **changes)[0]


def test_what_is_whole_is_no_caveat() -> None:
    assert said(without_group=0, folds_with_area=3) == []
    assert said(good=None, validation_good=None, folds_with_area=None) == []


def test_every_figure_has_a_name_in_both_languages() -> None:
    for figure, name in FIGURES.items():
        assert named(figure).en == name
        assert named(figure).ja == name == "AUROC" or any(ord(letter) > 0x3000 for letter in named(figure).ja)
