"""The answer of a comparison says no more than is known, in both languages."""

from dataclasses import replace

import pytest
from toy_comparison import BY_LABEL, UNKNOWN, comparison, less, more, noise

from distill.evaluation.intervals import Difference
from distill.reports.answer import answer

ONCE = {1: "Each way was trained once", 2: "Each picture was tested by two trainings of each way only"}
ONCE_JA = {1: "各方法の学習は 1 回だけ", 2: "各画像のテストは方法ごとに学習 2 回分だけ"}

ANSWERS = [
    (
        [more("own")],
        "Of every 100 defects, 'own embeddings' finds 8 more than 'plain training' (95 % interval 2 to 16).",
        "不良 100 件あたり、「画像ごとの埋め込み」は「通常の学習」より 8 件（95 % 区間 2～16）多く検出しました。",
    ),
    (
        [more("own"), noise("class-mean"), more("retrieved", 0.04)],
        "Of every 100 defects, 'own embeddings', the best of 4 ways, finds 8 more than 'plain training' (95 % interval 2 to 16).",
        "不良 100 件あたり、4 通りの方法の中で最も良い「画像ごとの埋め込み」は「通常の学習」より 8 件（95 % 区間 2～16）"
        "多く検出しました。",
    ),
    (
        [more("own"), noise("class-mean", 0.09)],
        "Of every 100 defects, 'own embeddings', one of 3 ways, finds 8 more than 'plain training' (95 % interval 2 to 16).",
        "不良 100 件あたり、3 通りの方法の一つである「画像ごとの埋め込み」は「通常の学習」より 8 件（95 % 区間 2～16）"
        "多く検出しました。",
    ),
    (
        [more("own", 0.02)],
        "Of every 100 defects, 'own embeddings' finds 2.0 more than 'plain training' (95 % interval 0.5 to 4.0).",
        "不良 100 件あたり、「画像ごとの埋め込み」は「通常の学習」より 2.0 件（95 % 区間 0.5～4.0）多く検出しました。",
    ),
    (
        [more("own"), less("class-mean")],
        "Of every 100 defects, 'own embeddings', the best of 3 ways, finds 8 more than 'plain training' (95 % interval 2 to "
        "16); 'class mean' finds fewer.",
        "不良 100 件あたり、3 通りの方法の中で最も良い「画像ごとの埋め込み」は「通常の学習」より 8 件（95 % 区間 2～16）"
        "多く検出しました。「クラス平均」は検出が減りました。",
    ),
    (
        [less("class-mean"), less("retrieved"), noise("own")],
        "On these pictures no way finds more defects than 'plain training'; 'class mean' and 'with neighbours' find fewer.",
        "この画像では、「通常の学習」より検出が多い方法はありませんでした。「クラス平均」と「近傍との混合」は検出が減りました。",
    ),
    (
        [less("class-mean"), less("retrieved"), less("own")],
        "On these pictures no way finds more defects than 'plain training'; 3 ways find fewer.",
        "この画像では、「通常の学習」より検出が多い方法はありませんでした。3 通りの方法は検出が減りました。",
    ),
]
UNSURE = [
    (
        [noise("own", 0.3), noise("class-mean", -0.3)],
        "On these pictures no way finds more or fewer defects than 'plain training' beyond what chance gives.",
        "この画像では、「通常の学習」との検出数の差はどの方法も偶然の範囲内です。",
    ),
    (
        [more("own", 0.3, figure="auroc"), noise("own")],
        "On these pictures no way finds more or fewer defects than 'plain training' beyond what chance gives.",
        "この画像では、「通常の学習」との検出数の差はどの方法も偶然の範囲内です。",
    ),
    (
        [replace(more("own"), **UNKNOWN), replace(more("class-mean"), value=None, **UNKNOWN)],
        "These pictures show too few parts to tell whether any way finds more defects than 'plain training'.",
        "部品が少なすぎるため、「通常の学習」より多く検出する方法があるかどうかは分かりません。",
    ),
    (
        [],
        "Only 'plain training' was trained, so there is nothing to compare.",
        "「通常の学習」だけなので比較できません。",
    ),
]


@pytest.mark.parametrize(("differences", "en", "ja"), ANSWERS + UNSURE)
def test_the_answer_with_several_seeds(differences: list[Difference], en: str, ja: str) -> None:
    said = answer(comparison(differences=differences, seeds=3))
    assert (said.en, said.ja) == (en, ja)


@pytest.mark.parametrize("looks", [1, 2])
@pytest.mark.parametrize(("differences", "en", "ja"), ANSWERS)
def test_a_difference_of_single_trainings_is_said_to_be_perhaps_the_trainings(
    differences: list[Difference], en: str, ja: str, looks: int
) -> None:
    said = answer(comparison(differences=differences, seeds=1, looks=looks))
    doubt = "so it may be the training and not the way: compare with three seeds (trainings of each) to know."
    assert said.en == f"{en} {ONCE[looks]}, {doubt}"
    assert said.ja.startswith(f"{ja}ただし{ONCE_JA[looks]}で、方法ではなく")
    assert "学習を 3 回ずつ" in said.ja


@pytest.mark.parametrize(("differences", "en", "ja"), UNSURE)
def test_where_nothing_is_claimed_nothing_is_taken_back(differences: list[Difference], en: str, ja: str) -> None:
    said = answer(comparison(differences=differences, seeds=1))
    assert (said.en, said.ja) == (en, ja)


def test_without_a_good_label_the_answer_is_about_right_labels() -> None:
    def said(*differences: Difference) -> tuple[str, str]:
        by_label = [replace(one, figure="macro_recall") for one in differences]
        told = answer(comparison(differences=by_label, seeds=2, **BY_LABEL))
        return told.en, told.ja

    assert said(more("own"), less("class-mean")) == (
        "Of every 100 pictures (labels counting alike), 'own embeddings', the best of 3 ways, gets 8 more right than 'plain "
        "training' (95 % interval 2 to 16); 'class mean' gets fewer.",
        "画像（ラベル平均）100 件あたり、3 通りの方法の中で最も良い「画像ごとの埋め込み」は「通常の学習」より 8 件"
        "（95 % 区間 2～16）多く"
        "正しく分類しました。「クラス平均」は正答が減りました。",
    )
    for one in (less("own"), noise("own"), replace(more("own"), **UNKNOWN)):
        en, ja = said(one)
        assert "pictures right" in en
        assert "defect" not in en
        assert "不良" not in ja
