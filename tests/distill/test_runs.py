"""Runs read for a comparison: which samples, parts and scores, and which runs can't be compared."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from toy_scores import CLASSES, NONE, OWN, changed, one, random_runs

from distill.evaluation.metrics import average_precision, threshold_at_overkill
from distill.evaluation.report import part_of
from distill.evaluation.runs import RunScores, policies_of, read_folds
from embedstore.errors import TrainingError


def test_samples_and_scores_are_in_the_order_of_their_ids() -> None:
    held = [
        one("t2", "test", "good", 0.75),
        one("v2", "val", "good", 0.5),
        one("t1", "test", "defect", 0.25, "spot", "A"),
        one("v1", "val", "good", 0.25),
        one("v3", "val", "defect", 0.9),
        one("x", "aside", "defect", 0.9),
    ]
    read = read_folds([RunScores("none", 3, 5, held, CLASSES)], ["none"], "good", 0.5)
    (fold,) = read.folds
    ((run,),) = fold.runs
    assert [sample.id for sample in fold.samples] == ["t1", "t2"]
    assert (run.scores.tolist(), run.val_good.tolist()) == ([0.25, 0.75], [0.25, 0.5])
    assert run.hits.tolist() == [
        False,
        True,
    ]  # one of two may be rejected: the threshold is .25, and at it is not above
    assert run.precision == average_precision(np.array([True, False]), np.array([0.25, 0.75]))
    assert (fold.part.tolist(), fold.val_part.tolist(), read.strata) == ([0, 1], [2, 3], [2, 3])


def test_without_a_good_label_right_answers_are_hits_and_nothing_validates() -> None:
    read = read_folds(NONE, ["none"], None, 0.05)
    run = read.folds[0].runs[0][0]
    assert [sample.id for sample in read.folds[0].samples] == ["A1", "A2", "A3", "B1", "G1", "G2"]
    assert run.hits.tolist() == [True, False, True, True, True, False]
    assert run.scores.tolist() == [1, 0, 1, 1, 1, 0]
    assert len(run.val_good) == len(read.folds[0].val_part) == 0
    assert math.isnan(run.precision)


def test_every_part_has_one_number_in_all_folds_and_roles() -> None:
    runs = sorted(random_runs(0), key=lambda run: (run.policy, run.fold, run.seed))
    read = read_folds(runs, ["none", "a", "b"], "good", 0.05)
    numbers: dict[str, set[int]] = {}
    for number, fold in enumerate(read.folds):
        first = next(run for run in runs if run.fold == number)
        val = sorted((h for h in first.held if h.side == "val" and h.label == "good"), key=lambda h: h.id)
        for sample, at in [*zip(fold.samples, fold.part, strict=True), *zip(val, fold.val_part, strict=True)]:
            numbers.setdefault(part_of(sample), set()).add(int(at))
        start = sum(read.strata[:number])
        assert sorted(set(fold.part.tolist())) == list(range(start, start + read.strata[number]))
        for of_policy, policy in zip(fold.runs, ("none", "a", "b"), strict=True):
            for seed, run in enumerate(of_policy):
                (given,) = [r for r in runs if (r.policy, r.fold, r.seed) == (policy, number, seed)]
                scores = {h.id: 1 - h.probabilities[1] for h in given.held}
                assert run.scores.tolist() == [scores[sample.id] for sample in fold.samples]
                assert run.val_good.tolist() == [scores[sample.id] for sample in val]
                assert (run.hits == (run.scores > threshold_at_overkill(run.val_good, 0.05))).all()
    assert all(len(found) == 1 for found in numbers.values())
    assert len({next(iter(found)) for found in numbers.values()}) == len(numbers)
    # Parts that only validate, defects too, belong to the first fold that they validate in.
    parts = [{part_of(h) for r in runs if r.fold == fold for h in r.held if h.side == "val"} for fold in range(3)]
    tested = {part_of(h) for r in runs for h in r.held if h.side == "test"}
    first, second, third = (some - tested for some in parts)
    assert read.strata[3:] == [len(first), len(second - first), len(third - first - second)]
    assert len(second - first) < len(second)


def test_the_baseline_comes_first_and_the_others_by_name() -> None:
    runs = [RunScores(policy, 0, 0, [], CLASSES) for policy in ("a", "none", "z")]
    assert policies_of(runs, None) == ["none", "a", "z"]
    assert policies_of(runs, "z") == ["z", "a", "none"]
    assert policies_of([runs[0], runs[2]], None) == ["a", "z"]
    with pytest.raises(TrainingError, match=r"The baseline 'odd' is not among the policies \(a, none, z\)"):
        policies_of(runs, "odd")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (list, "There is no run to compare"),
        (lambda: [*NONE, NONE[0]], "'none' on fold 0 with seed 0 is there twice"),
        (lambda: [*NONE, *OWN[:-1]], "'own' on fold 1 with seed 1 is missing"),
        (lambda: [*NONE, *OWN[:2]], "'own' on fold 1 with seed 0 is missing"),
        (lambda: [changed(NONE[0], "G1", id="other"), *NONE[1:]], "with seed 1 was tested on other samples than"),
        (lambda: [*NONE, changed(OWN[0], "A1", mode="odd"), *OWN[1:]], "'own' on fold 0 with seed 0 was tested on oth"),
        (lambda: [*NONE, changed(OWN[0], "A1", group="odd"), *OWN[1:]], "was tested on other samples"),
        (
            lambda: [*NONE, changed(OWN[0], "v0-3", id="other"), *OWN[1:]],
            "'own' on fold 0 .* was validated on other sam",
        ),
        (
            lambda: [*NONE, changed(OWN[3], "v1-3", group="odd"), *OWN[:3]],
            "'own' on fold 1 .* was validated on other sam",
        ),
        (
            lambda: [*NONE[:2], *(changed(of, "G3", id="G1") for of in NONE[2:])],
            "The picture G1 is tested in folds 0 and 1",
        ),
        (
            lambda: [*NONE[:2], *(changed(of, "G3", group="A") for of in NONE[2:])],
            "The group A is tested in folds 0 and 1",
        ),
        (lambda: [changed(NONE[0], "G1", id="G2"), *NONE[1:]], "holds the sample 'G2' twice"),
        (lambda: [changed(NONE[0], "v0-3", id="G2"), *NONE[1:]], "holds the sample 'G2' twice"),
        (lambda: [changed(NONE[0], "G1", label=None), *NONE[1:]], "is tested on 'G1', which has no label"),
        (
            lambda: [changed(NONE[0], "G1", probabilities=(1.0,)), *NONE[1:]],
            "does not give 'G1' one number for each of 2",
        ),
        (
            lambda: [changed(NONE[0], "v0-3", probabilities=(math.nan, 0.5)), *NONE[1:]],
            "does not give 'v0-3' one number",
        ),
        (lambda: [replace(of, held=[h for h in of.held if h.side != "test"]) for of in NONE], "has no test sample"),
        (
            lambda: [replace(of, held=[h for h in of.held if h.side != "val"]) for of in NONE],
            "has no 'good' sample on its val",
        ),
        (
            lambda: [replace(of, classes=["defect", "ok"]) for of in NONE],
            "does not know the good label 'good', only defect, ok",
        ),
    ],
)
def test_runs_that_cannot_be_compared(make: Callable[[], list[RunScores]], message: str) -> None:
    runs = sorted(make(), key=lambda run: (run.policy, run.fold, run.seed))
    with pytest.raises(TrainingError, match=message):
        read_folds(runs, policies_of(runs, None), "good", 0.05)
