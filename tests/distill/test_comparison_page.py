"""The page of a comparison: its answer says no more than is known, in both languages, whatever the names are."""

import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import browse, needs_browser
from markupsafe import Markup
from PIL import Image
from toy_comparison import OTHER, OWN, PLAIN, WORST, comparison, difference
from toy_scores import random_runs

from distill.evaluation.comparison import Comparison, PolicyFigures, compare_runs
from distill.evaluation.intervals import Difference
from distill.reports import comparison_page as page
from distill.reports.answer import answer
from distill.targets import POLICIES

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>&amp; 傷\u202e"
ONCE = "Each way was trained once, so it may be the training and not the way"
ONCE_JA = "各方法の学習は 1 回だけ"


def more(policy: str, value: float = 0.08, **changes: Any) -> Difference:
    spread = {"value": value, "low": value / 4, "high": 2 * value, "figure": "mean_recall"}
    return difference(policy=policy, verdict="more", **spread | changes)


def less(policy: str, **changes: Any) -> Difference:
    return replace(more(policy, **changes), value=-0.08, low=-0.2, high=-0.01, verdict="less")


def noise(policy: str, value: float = 0.01, **changes: Any) -> Difference:
    return replace(more(policy, value, **changes), low=-0.2, high=0.2, verdict="noise")


UNKNOWN: dict[str, Any] = {"low": None, "high": None, "verdict": "unknown"}
BY_LABEL: dict[str, Any] = {"good": None, "overkill_wanted": None}


# The answer

ANSWERS = [
    (
        [more("own")],
        "Of every 100 defects, 'own embeddings' finds 8 more than 'plain training' (95 % interval 2 to 16).",
        "不良 100 件あたり、「画像ごとの埋め込み」は「通常の学習」より 8 件（95 % 区間 2～16）多く検出しました。",
    ),
    (
        [more("own"), noise("class-mean"), more("retrieved", 0.04)],
        "Of every 100 defects, 'own embeddings', the best of 4 ways, finds 8 more than 'plain training' (95 % interval 2 to 16).",
        "不良 100 件あたり、4 方法中で最も良い「画像ごとの埋め込み」は「通常の学習」より 8 件（95 % 区間 2～16）"
        "多く検出しました。",
    ),
    (
        [more("own"), noise("class-mean", 0.09)],
        "Of every 100 defects, 'own embeddings', one of 3 ways, finds 8 more than 'plain training' (95 % interval 2 to 16).",
        "不良 100 件あたり、3 方法の一つである「画像ごとの埋め込み」は「通常の学習」より 8 件（95 % 区間 2～16）"
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
        "不良 100 件あたり、3 方法中で最も良い「画像ごとの埋め込み」は「通常の学習」より 8 件（95 % 区間 2～16）"
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
        "この画像では、「通常の学習」より検出が多い方法はありませんでした。3 つの方法は検出が減りました。",
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


@pytest.mark.parametrize(("differences", "en", "ja"), ANSWERS)
def test_a_difference_of_single_trainings_is_said_to_be_perhaps_the_trainings(
    differences: list[Difference], en: str, ja: str
) -> None:
    said = answer(comparison(differences=differences, seeds=1))
    assert said.en == f"{en} {ONCE}: compare with three seeds (trainings of each) to know."
    assert said.ja.startswith(f"{ja}ただし{ONCE_JA}")
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
        "画像（ラベル平均）100 件あたり、3 方法中で最も良い「画像ごとの埋め込み」は「通常の学習」より 8 件（95 % 区間 2～16）多く"
        "正しく分類しました。「クラス平均」は正答が減りました。",
    )
    for one in (less("own"), noise("own"), replace(more("own"), **UNKNOWN)):
        en, ja = said(one)
        assert "pictures right" in en
        assert "defect" not in en
        assert "不良" not in ja


# The parts


def texts(markup: str, language: str) -> list[str]:
    found = re.findall(rf'<span lang="{language}">(.*?)</span>', markup)
    return [html.unescape(text) for text in found]


def figures(markup: str) -> list[str]:
    """Return the large figures with what stands below each, in English."""
    english = re.sub(r'<span lang="ja">.*?</span>', "", markup)
    tiles = english.split('<div class="key-figure')[1:]
    return [" ".join(html.unescape(re.sub(r"<[^>]*>", " ", tile.split(">", 1)[1])).split()) for tile in tiles]


def test_the_headline_holds_the_highest_against_the_baseline() -> None:
    best = replace(OWN, mean_recall=0.7, by_mode=[replace(WORST, caught=4.5, parts=1, low=None, high=None), OTHER])
    assert figures(page.headline(comparison(policies=[PLAIN, best]))) == [
        "of defects caught, averaged over 2 to 10 % of good parts rejected 70 % by 'sub-prototypes', the highest",
        "by 'plain training' 50 % what the others are held against",
        "caught of the kind it finds worst, 'spot' 4.5 of 12",
    ]


def test_where_the_baseline_is_best_the_headline_tells_its_overkill() -> None:
    assert figures(page.headline(comparison(policies=[PLAIN, replace(OWN, mean_recall=0.4)]))) == [
        "of defects caught, averaged over 2 to 10 % of good parts rejected 50 % by 'plain training', the highest",
        "of good parts rejected 4 % 2.5 % was aimed at",
        "caught of the kind it finds worst, 'spot' 3 of 12 95 %: 5 % to 50 %",
    ]
    alone = figures(page.headline(comparison(policies=[replace(PLAIN, mean_recall=None, overkill=None, by_mode=[])])))
    assert alone == [
        "of defects caught, averaged over 2 to 10 % of good parts rejected – by 'plain training'",
        "of good parts rejected – 2.5 % was aimed at",
    ]


def test_the_headline_without_a_good_label() -> None:
    plain = PolicyFigures("none", accuracy=0.9, macro_recall=0.8, by_class=[replace(WORST, name="b")])
    assert figures(page.headline(comparison(policies=[plain], differences=[], **BY_LABEL))) == [
        "recall, averaged over the labels 80 % by 'plain training'",
        "of pictures get the right label 90 %",
        "right of its worst label, 'b' 3 of 12 95 %: 5 % to 50 %",
    ]


@pytest.mark.parametrize(
    ("wanted", "told"), [(0.05, "5 % was"), (0.07, "7 % was"), (0.025, "2.5 % was"), (0.0, "0 % was")]
)
def test_the_overkill_that_was_aimed_at_is_not_rounded(wanted: float, told: str) -> None:
    assert told in figures(page.headline(comparison(policies=[PLAIN], overkill_wanted=wanted)))[1]


def test_a_chart_shows_the_kinds_found_worst_and_says_so() -> None:
    kinds = [replace(WORST, name=f"kind {number:02}") for number in range(page.MOST_KINDS + 1)]
    many = comparison(policies=[replace(PLAIN, by_mode=kinds), replace(OWN, by_mode=kinds[::-1])])
    drawn = page.misses(many)
    assert f"kind {page.MOST_KINDS - 1:02}" in drawn
    assert f"kind {page.MOST_KINDS:02}" not in drawn
    told = f"The {page.MOST_KINDS} of {page.MOST_KINDS + 1} that 'plain training' finds worst"
    assert any(text.startswith(told) for text in texts(drawn, "en"))
    assert f"kind {page.MOST_KINDS:02}" in page.details(many)
    fewer = comparison(policies=[replace(PLAIN, by_mode=kinds[:-1]), OWN])
    assert "finds worst" not in html.unescape(page.misses(fewer))


def test_what_is_caught_and_missed_is_counted_over_the_kinds() -> None:
    assert "9 of 20 · 45" in page.misses(comparison())
    assert "20 件中 9 件 · 45" in page.misses(comparison())
    nothing = page.misses(comparison(policies=[replace(PLAIN, by_mode=[])], differences=[]))
    assert "no data" in nothing
    assert "データなし" in nothing


def test_intervals_are_of_the_figure_that_decides() -> None:
    drawn = page.sureness(comparison(differences=[more("own"), difference(value=0.5, low=0.4, high=0.6)]))
    assert "+8.0 (+2.0 to +16.0)" in drawn
    assert "+50" not in drawn
    assert page.sureness(comparison(differences=[])) == ""
    unknown = page.sureness(comparison(differences=[replace(more("own"), **UNKNOWN)]))
    assert "no data" in unknown


@pytest.mark.parametrize(("seeds", "means"), [(1, "trained once"), (3, "it may be chance")])
def test_a_line_means_less_where_each_way_was_trained_once(seeds: int, means: str) -> None:
    drawn = texts(page.sureness(comparison(differences=[more("own")], seeds=seeds)), "en")
    assert [means in text for text in drawn if text.startswith("Dots")] == [True]
    assert any(f"3 folds and {seeds} seed{'' if seeds == 1 else 's'}." in text for text in drawn)


def test_costs_are_of_one_run() -> None:
    rows = re.findall(r'<td class="numeric">(.*?)</td>', page.costs(comparison(seeds=2)))
    assert rows == ["94.5", "818", "4.1", "–"]  # of 567 and 24.6 s in six runs
    assert re.findall(r'<td class="numeric">(.*?)</td>', page.costs(comparison(policies=[PLAIN]))) == ["189", "818"]


def test_a_validation_figure_of_zero_is_drawn_and_none_is_a_gap() -> None:
    curve: list[dict[str, float | None]] = [
        {"epoch": 1, "val_auroc": 0.0},
        {"epoch": 2, "val_auroc": None},
        {"epoch": 3},
    ]
    drawn = page.details(comparison(policies=[replace(PLAIN, curve=curve)]))
    assert "plain training: from 0.000 at 1 to 0.000 at 1." in drawn
    assert "通常の学習: 1 で 0.000、1 で 0.000。" in drawn


def test_caveats_are_there_in_both_languages_and_remarks_under_a_fold() -> None:
    told = page.caveats(comparison(without_group=7, remarks=["Split by chance."]))
    for language, words in (("en", ["One seed", "7 of 1,344"]), ("ja", ["乱数 1 通り", "7 枚"])):
        assert all(any(word in text for text in texts(told, language)) for word in words)
    before, fold = told.split("<details>")
    assert "Split by chance." not in before
    assert "Split by chance." in fold
    assert "技術者向けの注記（英語）" in fold
    assert "<details>" not in page.caveats(comparison(remarks=[]))


# The whole page


class Reader(HTMLParser):
    """Keeps tags and, for each text that a reader sees, its language."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.open: list[tuple[str, str | None]] = []
        self.tags: list[str] = []
        self.names: list[tuple[str, str]] = []
        self.texts: list[tuple[str | None, str]] = []
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.names += [(tag, name) for name, _ in attrs]
        if tag not in {"meta", "input", "img", "br", "wbr"}:
            language = dict(attrs).get("lang") if tag != "html" else None
            self.open.append((tag, language or (self.open[-1][1] if self.open else None)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and not {"style", "script", "fieldset"} & {tag for tag, _ in self.open}:
            self.texts.append((self.open[-1][1], data.strip()))


def everything(name: str = "spot", remark: str = "Split by chance.") -> list[Comparison]:
    """Return comparisons in which labels, modes and policies carry the name, with and without a good label."""
    policies = ["none", *sorted(set(POLICIES) - {"none"}), f"policy {name}"]
    kinds = [replace(WORST, name=name), replace(OTHER, name=f"{name} 2", parts=1, low=None, high=None)]
    curve: list[dict[str, float | None]] = [{"epoch": 1, "val_auroc": 0.5, "val_accuracy": 0.25}]
    rows = [replace(PLAIN, policy=policy, by_mode=kinds, worst_mode=name, curve=curve) for policy in policies]
    by_label = [
        PolicyFigures(policy, accuracy=0.9, macro_recall=0.8, by_class=kinds, worst_class=name, curve=curve)
        for policy in policies
    ]
    doubts = {"without_group": 3, "validation_good": 7, "folds_with_area": 1, "remarks": [remark]}
    made = [
        comparison(
            policies=rows, differences=[verdict(policy) for policy in policies[1:]], seeds=seeds, good=name, **doubts
        )
        for seeds in (1, 3)
        for verdict in (more, less, noise)
    ]
    labels = [more(policy, figure="macro_recall", left_out=3, parts=7) for policy in policies[1:]]
    return [*made, comparison(policies=by_label, differences=labels, **BY_LABEL | {"remarks": [remark]})]


def test_hostile_names_change_no_tag() -> None:
    for calm, hostile in zip(everything("spot"), everything(HOSTILE, HOSTILE), strict=True):
        expected, found = Reader(page.comparison_page(calm)), Reader(page.comparison_page(hostile))
        # a text that was cut short for a chart carries one more element
        assert [tag for tag in found.tags if tag != "title"] == [tag for tag in expected.tags if tag != "title"]
        assert found.names == expected.names
        assert not any(name.startswith("on") for _, name in found.names)
        assert any(HOSTILE in text for _, text in found.texts)


def test_every_sentence_is_there_in_both_languages() -> None:
    names = {*POLICIES, "spot", "spot 2", "policy spot", "Split by chance.", "AUROC", "EN", "·"}
    for one in everything():
        reader = Reader(page.comparison_page(one).split("<body>")[1].split("</body>")[0])
        for language, text in reader.texts:
            if text in names or not re.search("[A-Za-z\u3041-\u9fff]", text):
                continue
            japanese = re.search("[\u3041-\u30ff\u4e00-\u9fff]", text) is not None
            assert language is not None, text
            assert japanese == (language == "ja"), (language, text)


def test_figures_that_are_not_known_are_dashes() -> None:
    empty = PolicyFigures("none")
    for good in ("good", None):
        one = comparison(policies=[empty, replace(empty, policy="own")], differences=[], good=good)
        shown = page.comparison_page(replace(one, overkill_wanted=None if good is None else 0.05))
        assert "None" not in shown
        assert "nan" not in re.sub(r"<style>.*?</style>|<script>.*?</script>", "", shown, flags=re.DOTALL)
        assert "–" in shown


def test_the_page_of_measured_scores_leads_with_the_answer() -> None:
    found = compare_runs(random_runs(0), good="good", overkill=0.05, resamples=50)
    shown = page.comparison_page(found)
    assert Markup('<p class="lead">{}</p>').format(answer(found)) in shown
    for policy in found.policies:
        assert f"{policy.auroc:.3f}" in shown


@needs_browser
def test_a_browser_shows_the_page_and_complains_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(page.comparison_page(everything(HOSTILE, HOSTILE)[0]), "utf-8")
    shots = []
    for language in ("en", "ja"):
        shot = tmp_path / f"{language}.png"
        address = f"{path.as_uri()}#{language}"
        browse(address, tmp_path / "profile", f"--screenshot={shot}", "--window-size=900,1200")
        with Image.open(shot) as picture:
            shots.append(np.asarray(picture.convert("L"), int))
        assert 0.005 < (np.abs(shots[-1] - np.median(shots[-1])) > 80).mean() < 0.5  # ink on paper
    assert np.abs(shots[0] - shots[1]).max() > 80
