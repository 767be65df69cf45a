"""A comparison on a terminal: all that was measured is there, in words that do not say more than the intervals."""

import io
import re
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console
from toy_comparison import HOSTILE, OTHER, OWN, PLAIN, WORST, comparison, difference

from distill.evaluation.comparison import Comparison, PolicyFigures
from distill.reports.caveats import caveats
from distill.reports.console import difference_sentences, print_comparison
from distill.reports.words import NO_ESCAPE


def printed(one: Comparison, **options: Any) -> str:
    file = io.StringIO()
    print_comparison(one, Console(file=file, **{"width": 100, "highlight": False} | options))
    return file.getvalue()


def cells(text: str) -> list[list[str]]:
    """Return the words of each line."""
    return [line.split() for line in text.splitlines()]


# Tables


def test_the_table_has_every_figure_and_cost_of_every_policy() -> None:
    text = printed(comparison())
    rows = cells(text)
    assert "1,344 pictures of 529 parts, in 3 folds with 1 seed." in text.splitlines()[0]
    assert rows[2] == ["policy", "AUROC", "at", "2.5%", "kill", "2-10%", "by", "kind", "a", "run", "memory"]
    assert rows[3] == ["none", "0.812", "0.450", "0.040", "0.500", "0.512", "3.1", "min", "818", "MB"]
    assert rows[4] == ["sub-prototypes", "–", "0.450", "0.040", "0.500", "0.512", "8.2", "s", "–"]


def test_the_worst_kind_stands_with_its_interval() -> None:
    alone = replace(WORST, low=None, high=None, parts=1)
    text = printed(comparison(policies=[PLAIN, replace(OWN, by_mode=[alone, OTHER])]))
    assert ["none", "spot", "3", "of", "12", "0.25", "0.05", "to", "0.50"] in cells(text)
    assert ["sub-prototypes", "spot", "3", "of", "12", "0.25", "one", "part"] in cells(text)
    assert "stripe" not in text


@pytest.mark.parametrize(
    ("seeds", "looks", "told"),
    [(1, 2, "1 seed: each by 2 trainings."), (3, 6, "3 seeds: each by 6 trainings."), (2, 2, "2 seeds.")],
)
def test_a_mean_over_trainings_may_be_a_part_of_a_picture(seeds: int, looks: int, told: str) -> None:
    policies = [replace(PLAIN, by_mode=[replace(WORST, caught=2.5)]), OWN]
    text = printed(comparison(seeds=seeds, looks=looks, policies=policies))
    assert ["none", "spot", "2.5", "of", "12", "0.25", "0.05", "to", "0.50"] in cells(text)
    assert text.splitlines()[0].endswith(f"in 3 folds with {told}")


def test_what_a_threshold_without_escapes_costs_stands_in_a_table_of_its_own() -> None:
    text = printed(comparison(policies=[PLAIN, replace(OWN, zero_escape_recall=None, zero_escape_overkill=None)]))
    rows = cells(text)
    at = rows.index(["no", "escape", "among", "over-"])
    assert rows[at + 1 : at + 4] == [["the", "training", "parts", "kill", "recall"], ["none", "0.600", "0.975"], []]
    assert "more seeds only lower it: do not compare these figures with those of another number of seeds." in text
    plain = replace(PLAIN, zero_escape_recall=None, zero_escape_overkill=None)
    assert "no escape" not in printed(comparison(policies=[plain], differences=[]))


@pytest.mark.parametrize("count", [2, 3])
def test_the_order_is_told_where_there_is_one(count: int) -> None:
    policies = [PLAIN, OWN, replace(OWN, policy="own")][:count]
    told = (
        "Note: The baseline comes first, the others by recall averaged over 2 to 10 % overkill; between neighbours, recall "
        "averaged over the kinds of defect decides."
    )
    assert printed(comparison(policies=policies)).splitlines().count(told) == (count == 3)
    by_label = comparison(policies=policies, differences=[], good=None, overkill_wanted=None)
    assert ("Note: The baseline comes first, the others by recall averaged over the labels." in printed(by_label)) == (
        count == 3
    )


def test_without_a_good_label_there_are_labels_and_nothing_of_escapes() -> None:
    one = PolicyFigures("none", accuracy=0.9, macro_recall=0.85, by_class=[replace(WORST, name="b")], seconds=9.0)
    text = printed(comparison(policies=[one], differences=[], good=None, overkill_wanted=None))
    assert ["none", "0.900", "0.850", "3.0", "s", "–"] in cells(text)
    assert ["none", "b", "3", "of", "12", "0.25", "0.05", "to", "0.50"] in cells(text)
    assert "worst label" in text
    for word in ("AUROC", "kill", "defect", "Differences"):
        assert word not in text


@pytest.mark.parametrize(
    ("seconds", "told"), [(12.6, "4.2 s"), (288, "96 s"), (1386, "7.7 min"), (17_970, "99.8 min"), (21_600, "2.0 h")]
)
def test_the_time_is_that_of_one_run(seconds: float, told: str) -> None:
    row = next(line for line in printed(comparison(policies=[replace(PLAIN, seconds=seconds)])).splitlines()[3:])
    assert f"  {told}  818 MB" in row


@pytest.mark.parametrize("soft_wrap", [False, True])
def test_the_tables_fit_a_terminal_of_80_columns_and_are_whole_in_a_file(soft_wrap: bool) -> None:
    on_terminal = printed(comparison(), width=80, force_terminal=True, color_system=None, soft_wrap=soft_wrap)
    in_file = printed(comparison(), width=20, soft_wrap=soft_wrap)
    for text in (on_terminal, in_file):
        tables = text.split("Differences to")[0].splitlines()[1:]
        assert max(map(len, tables)) <= 80
        assert cells(text)[3][:2] == ["none", "0.812"]
        assert cells(text)[4][0] == "sub-prototypes"


@pytest.mark.parametrize("soft_wrap", [False, True])
def test_a_narrow_terminal_loses_no_letter(soft_wrap: bool) -> None:
    narrow = comparison(
        policies=[replace(PLAIN, policy="abcdefghijklm", by_mode=[replace(WORST, name="NOPQRSTUVWXYZ")])]
    )
    text = printed(narrow, width=50, force_terminal=True, color_system=None, soft_wrap=soft_wrap)
    tables = text.split("\n\n")[:2]
    for table in tables:
        assert max(map(len, table.splitlines()[1:])) <= 50
        assert not re.search("abcdefghijklm|NOPQRSTUVWXYZ", table)  # folded
        assert set("abcdefghijklm") <= set(table)
    assert set("NOPQRSTUVWXYZ") <= set(tables[1])
    assert "…" not in text


def test_names_are_shown_as_they_are_and_command_no_terminal() -> None:
    hostile = comparison(
        policies=[replace(PLAIN, by_mode=[replace(WORST, name=HOSTILE)])],
        remarks=[f"Shown by one part only: {HOSTILE}."],
    )
    text = printed(hostile, force_terminal=True, color_system=None)
    shown = "[red]傷\\x1b[31m\\n\\u202e</b>　跡"
    assert text.count(shown) == 2
    assert "\x1b" not in text
    assert "\u202e" not in text


# Words


def test_differences_are_told_by_what_they_prove() -> None:
    assert difference_sentences(comparison()) == [
        "Differences to 'none' on the same pictures, with 95 % intervals over parts:",
        "More with 'sub-prototypes': recall at the stated overkill +0.100 (+0.050 to +0.200).",
        "Less with 'sub-prototypes': overkill reached -0.030 (-0.040 to -0.010).",
        "No difference beyond noise with 'sub-prototypes': recall averaged over 2 to 10 % overkill +0.000 (-0.060 to +0.061); "
        "recall averaged over the kinds of defect +0.020 (+0.000 to +0.040).",
        "No interval with 'sub-prototypes', since too few parts tell: AUROC (the test sides do not give it).",
    ]
    alone = comparison(differences=[difference(low=None, high=None, verdict="unknown", parts=1)])
    assert difference_sentences(alone)[1] == (
        "No interval with 'sub-prototypes', since too few parts tell: recall at the stated overkill +0.100."
    )
    assert difference_sentences(comparison(differences=[])) == []


@pytest.mark.parametrize(("looks", "over"), [(1, "parts"), (2, "parts and trainings")])
def test_what_the_intervals_are_over(looks: int, over: str) -> None:
    first = f"Differences to 'none' on the same pictures, with 95 % intervals over {over}:"
    assert difference_sentences(comparison(looks=looks))[0] == first


def test_where_nothing_is_caught_no_kind_is_the_worst() -> None:
    none = replace(PLAIN, by_mode=[replace(one, caught=0.0, recall=0.0) for one in PLAIN.by_mode])
    lines = [" ".join(line.split()) for line in printed(comparison(policies=[none, OWN]), width=120).splitlines()]
    assert "none none is caught of any kind 0 of 20 0.00 –" in lines
    assert "sub-prototypes spot 3 of 12 0.25 0.05 to 0.50" in lines


def test_each_policy_has_its_own_sentences() -> None:
    two = [difference(), difference(policy="own", value=-0.1, low=-0.2, high=-0.05, verdict="less")]
    said = difference_sentences(comparison(differences=two))
    assert [sentence.split(":")[0] for sentence in said[1:]] == ["More with 'sub-prototypes'", "Less with 'own'"]


def test_differences_to_further_baselines_are_not_told_under_the_first_ones_name() -> None:
    further = [difference(policy="none", baseline="own"), difference(baseline="own", figure="auroc", parts=1)]
    one = comparison(differences=[*comparison().differences, *further])
    assert difference_sentences(one) == difference_sentences(comparison())


def test_every_sentence_is_printed_on_a_line_of_its_own() -> None:
    lines = printed(comparison(), width=30).splitlines()
    notes = [f"Note: {one.en}" for one in (NO_ESCAPE, *caveats(comparison()))]
    assert lines[-6 - len(notes) :] == [*difference_sentences(comparison()), *notes, "Note: Split by chance."]
