"""Runs read for a comparison: which samples, parts and scores, and which runs can't be compared."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from toy_scores import CLASSES, NONE, OWN, changed, looks_at, one, random_runs, score_of

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
    assert run.scores.tolist() == [0.25, 0.75]
    assert (fold.val_good.tolist(), fold.val_defect.tolist(), fold.val_pictures) == ([[0.25, 0.5]], [[0.9]], 2)
    assert run.hits.tolist() == [
        False,
        True,
    ]  # one of two may be rejected: the threshold is .25, and at it is not above
    assert run.precision == average_precision(np.array([True, False]), np.array([0.25, 0.75]))
    assert (fold.part.tolist(), fold.val_part.tolist(), read.strata) == ([0, 1], [2, 3], [2, 2])
    assert (fold.run.tolist(), fold.val_run.tolist(), read.learned) == ([0], [0, 0], 0)


def test_without_a_good_label_right_answers_are_hits_and_nothing_validates() -> None:
    read = read_folds(NONE, ["none"], None, 0.05)
    fold = read.folds[0]
    run = fold.runs[0][0]
    assert [sample.id for sample in fold.samples] == ["A1", "A2", "A3", "B1", "G1", "G2"]
    assert run.hits.tolist() == [True, False, True, True, True, False]
    assert run.scores.tolist() == [1, 0, 1, 1, 1, 0]
    assert fold.val_good.shape == fold.val_defect.shape == (1, 0)
    assert len(fold.val_part) == len(fold.val_run) == fold.val_pictures == 0
    assert read.strata == [5, 3, 0, 0]
    assert math.isnan(run.precision)


@pytest.mark.parametrize("both", [False, True])
def test_scores_thresholds_and_parts_of_random_runs(both: bool) -> None:
    policies = ["none", "a", "b"]
    runs = sorted(random_runs(0, both=both), key=lambda run: (run.policy, run.fold, run.seed))
    places = sorted({(run.fold, run.seed) for run in runs})
    read = read_folds(runs, policies, "good", 0.05)
    numbers: dict[str, set[int]] = {}
    for number, fold in enumerate(read.folds):
        for at, policy in enumerate(policies):
            looks = looks_at(runs, policy, number)
            assert [places[k] for k in fold.run] == [(of.fold, of.seed) for of, _, _ in looks]
            good = [(k, h) for k, (_, _, setting) in enumerate(looks) for h in setting if h.label == "good"]
            bad = [h for _, _, setting in looks for h in setting if h.label == "defect"]
            assert fold.val_run.tolist() == [k for k, _ in good]
            assert fold.val_good[at].tolist() == [score_of(h) for _, h in good]
            assert fold.val_defect[at].tolist() == [score_of(h) for h in bad]
            assert fold.val_pictures == len({h.id for _, h in good})
            threshold = threshold_at_overkill(fold.val_good[at], 0.05)
            for run, (_, tested, _) in zip(fold.runs[at], looks, strict=True):
                assert [sample.id for sample in fold.samples] == [h.id for h in tested]
                assert run.scores.tolist() == [score_of(h) for h in tested]
                assert (run.hits == (run.scores > threshold)).all()
            val = [h for _, h in good]
            for sample, part in [*zip(fold.samples, fold.part, strict=True), *zip(val, fold.val_part, strict=True)]:
                numbers.setdefault(part_of(sample), set()).add(int(part))
        start = sum(read.strata[:number])
        assert sorted(set(fold.part.tolist())) == list(range(start, start + read.strata[number]))
    assert all(len(found) == 1 for found in numbers.values())
    assert len({next(iter(found)) for found in numbers.values()}) == len(numbers)
    # Good parts that only validate belong to the first fold that they validate in.
    parts = [
        {part_of(h) for r in runs if r.fold == fold for h in r.held if (h.side, h.label) == ("val", "good")}
        for fold in range(3)
    ]
    tested_parts = {part_of(h) for r in runs for h in r.held if h.side == "test"}
    first, second, third = (some - tested_parts for some in parts)
    assert read.strata[3:] == [len(first), len(second - first), len(third - first - second)]
    assert bool(first) != both


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
