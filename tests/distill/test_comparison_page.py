"""The page of a comparison: all of it in both languages, whatever the names are."""

import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from browser import browse, needs_browser
from markupsafe import Markup
from PIL import Image
from toy_comparison import BY_LABEL, OTHER, OWN, PLAIN, UNKNOWN, WORST, comparison, difference, less, more, noise
from toy_scores import random_runs

from distill.evaluation.comparison import Comparison, PolicyFigures, compare_runs
from distill.reports import comparison_page as page
from distill.reports.answer import answer
from distill.targets import POLICIES

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>&amp; 傷\u202e"


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


def test_where_nothing_is_caught_no_kind_is_the_worst() -> None:
    none = replace(PLAIN, by_mode=[replace(one, caught=0.0, recall=0.0) for one in (WORST, OTHER)])
    alone = comparison(policies=[none])
    assert figures(page.headline(alone))[-1] == "none is caught of any kind 0 of 20"
    table = page.details(comparison(policies=[none, OWN])).split("What each way finds worst")[1].split("</table>")[0]
    assert "none is caught of any kind" in table
    assert "どの種類も検出なし" in table
    assert table.count("spot") == 1  # of the other way


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


@pytest.mark.parametrize(
    ("seeds", "looks", "means", "runs"),
    [
        (1, 1, "trained once", "1 seed"),
        (1, 2, "tested by two trainings of each way only", "1 seed (each picture by 2 trainings)"),
        (3, 3, "it may be chance", "3 seeds"),
        (3, 6, "it may be chance", "3 seeds (each picture by 6 trainings)"),
    ],
)
def test_a_line_means_less_where_each_way_was_trained_once(seeds: int, looks: int, means: str, runs: str) -> None:
    drawn = page.sureness(comparison(differences=[more("own")], seeds=seeds, looks=looks))
    (told,) = [text for text in texts(drawn, "en") if text.startswith("Dots")]
    assert means in told
    assert f"with 3 folds and {runs}." in told
    (told,) = [text for text in texts(drawn, "ja") if text.startswith("点は")]
    assert (f"学習 {looks} 回分でテスト" in told) == (looks > seeds)


def test_the_worst_kind_stands_with_its_interval() -> None:
    alone = replace(WORST, low=None, high=None, parts=1)
    told = page.details(comparison(policies=[PLAIN, replace(OWN, by_mode=[alone, OTHER])]))
    worst = told.split("What each way finds worst")[1].split("</table>")[0]
    assert texts(worst, "en").count("3 of 12") == 2
    assert texts(worst, "en").count("95 %: 5\u202f% to 50\u202f%") == 1
    assert texts(worst, "ja").count("95 % 区間：5\u202f%～50\u202f%") == 1
    assert re.findall(r">(spot|stripe)<", worst) == ["spot", "spot"]
    assert "finds worst" not in page.details(comparison(policies=[PolicyFigures("none")], differences=[]))


def test_what_a_threshold_without_escapes_costs_is_told() -> None:
    told = page.details(comparison(policies=[PLAIN, replace(OWN, zero_escape_recall=0.5, zero_escape_overkill=0.25)]))
    table = told.split("With no escape among the training parts")[1].split("</table>")[0]
    assert re.findall(r'<td class="numeric">(.*?)</td>', table) == [
        f"{share}\u202f%" for share in ("60.0", "97.5", "25.0", "50.0")
    ]
    assert any("学習側の部品に見逃しがない" in text for text in texts(told, "ja"))
    assert any("more seeds only lower it" in text for text in texts(told, "en"))
    assert any("乱数の通り数が違う比較の値とは比べられません" in text for text in texts(told, "ja"))
    nothing = {"zero_escape_recall": None, "zero_escape_overkill": None}
    assert "no escape" not in page.details(comparison(policies=[replace(PLAIN, **nothing), replace(OWN, **nothing)]))


@pytest.mark.parametrize("count", [2, 3])
def test_the_order_is_told_where_there_is_one(count: int) -> None:
    policies = [PLAIN, OWN, replace(OWN, policy="own")][:count]
    told = page.details(comparison(policies=policies))
    assert any("the others by recall averaged over 2 to 10 % overkill" in text for text in texts(told, "en")) == (
        count == 3
    )
    assert any("の順です" in text for text in texts(told, "ja")) == (count == 3)


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
