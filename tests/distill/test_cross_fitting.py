"""Runs that are tested on both folds that they hold out: a hand-made example, thresholds of other folds, and refusals."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from toy_scores import CLASSES, changed, one

from distill.evaluation.comparison import Comparison, RunScores, compare_runs
from embedstore.errors import TrainingError

# fold -> what its run says of the fold that it tests and of the next one, which validates
SCORES: dict[int, tuple[dict[str, float], dict[str, float]]] = {
    0: ({"a1": 0.10, "a2": 0.30, "X": 0.60}, {"b1": 0.20, "b2": 0.40, "Y": 0.70}),
    1: ({"b1": 0.15, "b2": 0.55, "Y": 0.50}, {"c1": 0.25, "c2": 0.35, "Z": 0.50}),
    2: ({"c1": 0.05, "c2": 0.45, "Z": 0.90}, {"a1": 0.12, "a2": 0.22, "X": 0.33}),
}


def runs(policy: str = "none", **scores: float) -> list[RunScores]:
    """Return three runs; capitals are defects, and all parts are others; `A0=.5` adds a defect to what run 0 tests."""
    made = []
    for fold, sides in SCORES.items():
        held = []
        for side, said in zip(("test", "val"), sides, strict=True):
            more = {name: score for name, score in scores.items() if side == "test" and name.endswith(str(fold))}
            for name, score in (said | more).items():
                defect = name[0].isupper()
                held.append(one(name, side, "defect" if defect else "good", score, "spot" if defect else None, name))
        made.append(RunScores(policy, fold, 0, held, CLASSES, val_fold=(fold + 1) % 3))
    return made


def compared(some: Sequence[RunScores], good: str | None = "good", **options: Any) -> Comparison:
    return compare_runs(some, good=good, **{"overkill": 0.25, "resamples": 50} | options)


def chosen_by_validation(some: Sequence[RunScores]) -> list[RunScores]:
    return [replace(of, val_fold=None) for of in some]


def test_figures_by_hand() -> None:
    # Good scores of others that each fold's threshold comes from, where one of four may be rejected:
    # fold 0: b .20 .40, c .05 .45: .40; fold 1: a .10 .30, c .25 .35: .30; fold 2: a .12 .22, b .15 .55: .22.
    found = compared(runs())
    (figures,) = found.policies
    assert figures.recall == pytest.approx((1 + 0 + 2 + 2) / 6)  # X by run 0, not by run 2; Y and Z by both
    assert figures.overkill == pytest.approx((2 + 1 + 2) / 12)  # b2 by both, c1 by run 1, c2 by both
    assert figures.mean_recall == pytest.approx((1 + 0 + 2 + 1) / 6)  # thresholds .45, .35, .55
    assert figures.auroc == pytest.approx((1 + 1 + 0.5 + 1 + 1 + 1) / 6)
    (spot,) = figures.by_mode
    assert (spot.pictures, spot.caught, spot.parts, spot.parts_missed) == (3, 2.5, 3, 0.5)
    assert (found.pictures, found.parts, found.folds, found.seeds, found.looks) == (9, 9, 3, 1, 2)
    assert (found.validation_good, found.learned) == (4, 0)


def test_the_threshold_without_escapes_is_the_lowest_cross_fitted_score_of_a_defect() -> None:
    # Fold 0: Y .70, Z .90; fold 1: X .60, Z .50, at which Y of run 1 is rejected; fold 2: X .33, Y .50.
    (figures,) = compared(runs()).policies
    assert figures.zero_escape_recall == pytest.approx((0 + 0 + 2 + 2) / 6)
    assert figures.zero_escape_overkill == pytest.approx((1 + 2) / 12)  # b2 by run 1, c2 by both
    no_defect = [replace(of, held=[h for h in of.held if h.id not in ("X", "Z")]) for of in runs()]
    (figures,) = compared(no_defect).policies
    assert figures.recall == 1
    assert figures.zero_escape_recall is figures.zero_escape_overkill is None  # none of fold 1 but Y, which it tests


def test_a_run_that_was_chosen_by_its_validation_side_is_tested_on_the_other_one() -> None:
    # None of two may be rejected: thresholds .40, .35, .22.
    found = compared(chosen_by_validation(runs()))
    (figures,) = found.policies
    assert (figures.recall, figures.overkill) == (1, pytest.approx(2 / 6))  # b2, c2
    assert (found.looks, found.validation_good, found.pictures) == (1, 2, 9)
    assert figures.zero_escape_recall == pytest.approx(2 / 3)  # X is below Y's .70
    assert figures.zero_escape_overkill == pytest.approx(2 / 6)  # b2 above Z's .50, c2 above X's .33


def test_without_a_good_label_right_answers_of_both_runs_are_averaged() -> None:
    (figures,) = compared(runs(), good=None).policies
    # Above .5 the answer is a defect; at .5, the first of the classes. Wrong: b2 by run 1, X by run 2.
    assert figures.accuracy == pytest.approx(16 / 18)
    assert [(label.name, label.caught) for label in figures.by_class] == [("defect", 2.5), ("good", 5.5)]


def test_what_some_runs_had_to_learn_is_not_tested() -> None:
    rare = compared(runs(X0=0.99))  # run 0 alone holds it out; for run 2, which validates on the fold, it trained
    assert (rare.pictures, rare.learned) == (9, 1)
    assert replace(rare, learned=0) == compared(runs())


def changed_side(fold: int, side: str, names: str, **what: Any) -> list[RunScores]:
    """Return the runs, of which one says otherwise of samples of one side."""
    return [
        replace(of, held=[replace(h, **what) if h.side == side and h.id.startswith(names) else h for h in of.held])
        if of.fold == fold
        else of
        for of in runs()
    ]


def nothing_in_common() -> list[RunScores]:
    first, *others = runs()
    held = [h for h in first.held if h.side == "val"] + [
        one("other", "test", "good", 0.5),
        one("W", "test", "defect", 0.9),
    ]
    return [replace(first, held=held), *others]


@pytest.mark.parametrize(
    ("make", "good", "words"),
    [
        (lambda: changed_side(2, "val", "X", label="good"), "good", "fold 2 .* was tested on other samples than .* fold 0"),
        (lambda: changed_side(1, "val", "Z", group="Y"), None, "fold 1 .* was tested on other samples than .* fold 2"),
        (lambda: changed_side(2, "val", "X", label=None), "good", "is tested on 'X', which has no label"),
        (
            lambda: [replace(of, val_fold=0) for of in runs()],
            "good",
            "on fold 0 with seed 0 validates on the fold that it tests",
        ),
        (
            lambda: [replace(runs()[0], val_fold=2), *runs()[1:]],
            "good",
            r"Not as many runs of policy 'none' are tested on each fold \(2 on fold 0, 1 on fold 1, 3 on fold 2\)",
        ),
        (lambda: [replace(runs()[0], val_fold=7)], "good", r"each fold \(1 on fold 0, 1 on fold 7\)"),
        (lambda: [runs()[0], *chosen_by_validation(runs()[1:])], "good", "Not as many runs"),
        (
            lambda: [*runs(), *chosen_by_validation(runs("own"))],
            "good",
            "'own' on fold 0 .* 'none' on fold 0 .* are tested on one and on both of the folds",
        ),
        (
            lambda: [*runs(), changed(runs("own")[0], "b1", mode="m"), *runs("own")[1:]],
            None,
            "'own' on fold 0 with seed 0 was validated on other samples",
        ),
        (nothing_in_common, "good", "The runs of policy 'none' that hold out one of the folds have no sample of it in common"),
    ],
)  # fmt: skip
def test_runs_that_can_not_be_compared(make: Callable[[], list[RunScores]], good: str | None, words: str) -> None:
    with pytest.raises(TrainingError, match=words):
        compared(make(), good)
