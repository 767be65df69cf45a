"""The report, by hand-made examples: the threshold is the validation side's, and every figure can be counted."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from distill.evaluation.metrics import upper_bound
from distill.evaluation.report import AsideFigures, ClassFigures, Held, ModeFigures, Report, make_report
from distill.reports.caveats import remarks_on
from distill.reports.console import print_report, sentences


def held(side: str, label: str | None, score: float, mode: str | None = None, group: str | None = None) -> Held:
    """Return a sample of which the student says that it is a defect by `score`."""
    name = f"{side} {label} {mode} {group} {score}"
    return Held(name, side, label, mode, group, (score, 1 - score))


CLASSES = ["defect", "good"]
# 20 good validation parts: one may be rejected at 5 %, so the threshold is the second highest score, .5.
VAL = [*(held("val", "good", 0.01 * n) for n in range(18)), held("val", "good", 0.5), held("val", "good", 0.6)]
TEST = [
    *(held("test", "good", score) for score in (0.1, 0.2, 0.3, 0.55)),  # one of four is above it
    held("test", "defect", 0.9, "spot", "A"),
    held("test", "defect", 0.8, "spot", "A"),
    held("test", "defect", 0.4, "spot", "B"),  # missed
    held("test", "defect", 0.7, "spot", "B"),
    held("test", "defect", 0.5, "stripe", "C"),  # missed: rejected is above the threshold, not at it
    held("test", "defect", 0.2, "stripe", "C"),  # missed
    held("test", "defect", 0.45, "stripe", "D"),  # missed
    held("test", "defect", 0.95, "stripe"),  # a part of its own
    held("test", "defect", 0.15),  # no mode: goes by its label; missed
]
ASIDE = [
    held("aside", "defect", 0.7, "rims"),
    held("aside", "good", 0.2, "rims"),
    held("aside", "good", 0.51),
    held("aside", None, 0.5),
]


def report(samples: list[Held] | None = None, good: str | None = "good", overkill: float = 0.05) -> Report:
    return make_report([*VAL, *TEST, *ASIDE] if samples is None else samples, CLASSES, "own", good, overkill)


def test_figures_by_hand() -> None:
    found = report()
    assert found.policy == "own"
    assert found.counts == {"val": 20, "test": 13, "aside": 4}
    assert found.threshold == 0.5
    assert found.overkill_wanted == 0.05
    assert found.overkill == 1 / 4
    assert found.recall == 4 / 9
    assert found.macro_mode_recall == pytest.approx((0 + 1 / 4 + 3 / 4) / 3)
    # Pairs of a defect and a good part in which the defect scores higher: 4, 4, 3, 4, 3, 1.5, 3, 4, 1 of 4.
    assert found.auroc == pytest.approx(27.5 / 36)
    # By descending score g = good: d d d d g d d d g d(tie g) d g. At a tie both are taken together.
    precisions = [1, 1, 1, 1, 5 / 6, 6 / 7, 7 / 8, 8 / 11, 9 / 12]
    assert found.aupr == pytest.approx(sum(precisions) / 9)


def test_modes_count_pictures_and_parts_the_worst_first() -> None:
    assert report().by_mode == [
        ModeFigures("defect", 1, 0, 0.0, 1, 1, 1.0),
        ModeFigures("stripe", 4, 1, 0.25, 3, 2, upper_bound(2, 3)),
        ModeFigures("spot", 4, 3, 0.75, 2, 1, upper_bound(1, 2)),
    ]


def test_what_was_set_aside_is_told_apart_and_moves_no_other_figure() -> None:
    found = report()
    assert found.aside == [
        AsideFigures("good", 1, 1, {"defect": 1}),
        AsideFigures("no label", 1, 0, {"defect": 1}),
        AsideFigures("rims", 2, 1, {"defect": 1, "good": 1}),
    ]
    without = report([*VAL, *TEST])
    assert without == replace(found, aside=[], counts={"val": 20, "test": 13, "aside": 0})


def test_labels_go_by_the_most_likely() -> None:
    found = (
        report()
    )  # above a half: all good parts but one; of the defects five, since .5 is a draw that the first wins
    assert found.by_class == [ClassFigures("defect", 9, 5 / 9), ClassFigures("good", 4, 3 / 4)]
    assert found.accuracy == pytest.approx(8 / 13)
    assert found.macro_recall == pytest.approx((5 / 9 + 3 / 4) / 2)
    assert found.worst_class == "defect"


@pytest.mark.parametrize("by", [-0.25, 0.3])
def test_test_scores_do_not_move_the_threshold(by: float) -> None:
    moved = [replace(one, probabilities=(one.probabilities[0] + by, one.probabilities[1] - by)) for one in TEST]
    before, after = report(), report([*VAL, *moved, *ASIDE])
    assert after.threshold == before.threshold == 0.5
    assert after.recall != before.recall
    assert after.auroc == pytest.approx(before.auroc)  # since all moved together


def test_only_good_validation_parts_move_the_threshold() -> None:
    with_defects = [*VAL, held("val", "defect", 0.01), held("val", "defect", 0.99)]
    assert report([*with_defects, *TEST]).threshold == 0.5
    assert report([*VAL[:-1], *TEST]).threshold == 0.5  # of 19 parts none may be rejected
    assert report([*VAL[:-2], *TEST]).threshold == pytest.approx(0.17)
    assert report(overkill=0.0).threshold == pytest.approx(0.6)
    assert report(overkill=0.1).threshold == pytest.approx(0.17)


def test_without_a_good_label_there_are_recalls_and_nothing_of_escapes() -> None:
    classes = ["a", "b", "c"]
    said = [("a", (0.5, 0.3, 0.2)), ("a", (0.2, 0.3, 0.5)), ("b", (0.1, 0.8, 0.1)), ("b", (0.0, 0.6, 0.4))]
    samples = [Held(str(n), "test", label, None, None, p) for n, (label, p) in enumerate(said)]
    samples += [
        Held("v", "val", "c", None, None, (0.0, 0.0, 1.0)),
        Held("x", "aside", "a", None, None, (1.0, 0.0, 0.0)),
    ]
    found = make_report(samples, classes, "none", None, 0.05)
    assert found == Report(
        policy="none",
        classes=classes,
        counts={"val": 1, "test": 4, "aside": 1},
        good=None,
        accuracy=3 / 4,
        by_class=[ClassFigures("a", 2, 0.5), ClassFigures("b", 2, 1.0)],  # c is not tested
        macro_recall=0.75,
        worst_class="a",
        aside=[AsideFigures("a", 1, None, {"a": 1})],
    )


def test_a_report_survives_json() -> None:
    found = report()
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == found.to_dict()
    assert found.to_dict()["by_mode"][1]["mode"] == "stripe"


# In words


def test_sentences_say_the_figures() -> None:
    first, second = sentences(report())
    assert "threshold for 5% overkill, chosen on the good ones of 20 validation pictures" in first
    assert (
        "44.4% of the defects in 13 test pictures are caught and 55.6% escape; 25.0% of the good ones are rejected"
        in first
    )
    assert "AUROC 0.764" in second
    assert "the worst kind is 'defect' (0%)" in second
    (without,) = sentences(report(good=None))
    assert (
        "61.5% of 13 test pictures get the right label, 65.3% averaged over the labels; the worst is 'defect'"
        in without
    )


CHANCE = (
    "At its threshold the student is no better than chance, for it rejects 0.0% of the defects and 25.0% of the good parts on "
    "the test side; train it longer or in another way (distill advise) before you use it."
)


def test_a_student_that_guesses_is_told_and_has_no_worst_kind() -> None:
    low = [replace(one, probabilities=(0.3, 0.7)) if one.label == "defect" else one for one in TEST]
    found = report([*VAL, *low])
    assert (found.recall, found.overkill) == (0.0, 0.25)
    _, second, third = sentences(found)
    assert second.endswith("averaged over kinds of defect 0.000; none is caught of any of the 3 kinds.")
    assert third == CHANCE
    assert remarks_on(found) == [CHANCE]
    spots = [one for one in low if one.label == "good" or one.mode == "spot"]
    assert sentences(report([*VAL, *spots]))[1].endswith("the worst kind is 'spot' (0%).")


def test_a_student_that_finds_more_than_it_rejects_is_not_remarked_on() -> None:
    assert remarks_on(report()) == remarks_on(report(good=None)) == []


def test_tables_show_names_as_they_are() -> None:
    odd = [replace(one, mode="[red]傷[/]") if one.mode == "spot" else one for one in [*VAL, *TEST, *ASIDE]]
    console = Console(file=io.StringIO(), width=120, highlight=False)
    print_report(report(odd), console)
    assert isinstance(console.file, io.StringIO)
    print_report(report(odd, good=None), console)
    lines = [line.split() for line in console.file.getvalue().splitlines()]
    assert ["[red]傷[/]", "3", "of", "4", "0.75", "1", "of", "2", "97%"] in lines
    assert ["rims", "1", "of", "2"] in lines
    assert ["defect", "9", "0.56"] in lines


@pytest.mark.parametrize("good", ["good", None])
def test_no_name_commands_the_terminal(good: str | None) -> None:
    hostile = "\x1b[31m傷\n\u202ex"
    samples = [
        replace(one, label=hostile if one.label == "defect" else one.label, mode=one.mode and one.mode + hostile)
        for one in [*VAL, *TEST, *ASIDE]
    ]
    console = Console(file=io.StringIO(), width=120, highlight=False, force_terminal=True, color_system=None)
    print_report(make_report(samples, [hostile, "good"], f"own{hostile}", good, 0.05), console)
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert said.count("\\x1b[31m傷\\n\\u202ex") >= 4  # the policy, in the sentence, and in each table
    assert not set("\x1b\u202e") & set(said)
