"""What runs say of their held-out samples, read and checked: the same samples for all, each part tested in one fold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise, product

import numpy as np

from distill.evaluation.metrics import Flags, Scores, average_precision, threshold_at_overkill
from distill.evaluation.report import Held, part_of
from distill.evaluation.resampling import Positions
from embedstore.errors import TrainingError


@dataclass(frozen=True)
class RunScores:
    """What one run says of its held-out samples, and what it cost.

    Attributes:
        policy, fold, seed: which run it is.
        held: its labelled samples of val and test; those of aside are ignored.
        classes: the order of the probabilities.
        seconds: training time.
        peak_memory: bytes of the process, or None where it was not measured.
        curve: figures by epoch, as `run_directory.read_metrics` gives them.
    """

    policy: str
    fold: int
    seed: int
    held: Sequence[Held]
    classes: Sequence[str]
    seconds: float = 0.0
    peak_memory: int | None = None
    curve: Sequence[Mapping[str, float]] = ()


@dataclass(frozen=True)
class ReadRun:
    """What one run says of its n test samples and m good validation samples, each in the order of their ids.

    Attributes:
        hits: (n,) whether each is rejected; without a good label, whether it gets the right label.
        scores: (n,) of being a defect; without a good label 1 for a hit and 0 for none.
        val_good: (m,) the same of the validation samples that set the thresholds; none without a good label.
        precision: average precision on the test side; NaN without a good label.
    """

    hits: Flags
    scores: Scores
    val_good: Scores
    precision: float


@dataclass(frozen=True)
class ReadFold:
    """One fold, in which all runs hold the same samples.

    Attributes:
        samples: the n test samples, by id.
        part: (n,) the number of the part that each shows.
        val_part: (m,) the same of the good validation samples.
        runs: for each policy, of each seed.
    """

    samples: list[Held]
    part: Positions
    val_part: Positions
    runs: list[list[ReadRun]]


@dataclass(frozen=True)
class ReadFolds:
    """All folds, and how many parts each stratum has that is drawn by itself.

    Attributes:
        folds: by number.
        strata: parts that each fold tests, then parts that only validate, each with the first fold in which it does.
            Parts are numbered in this order; so one that is tested in a fold and validates in another is one part.
    """

    folds: list[ReadFold]
    strata: list[int]


def policies_of(runs: Sequence[RunScores], baseline: str | None) -> list[str]:
    """Return the policies of sorted runs: the baseline first, the others by name.

    Raises:
        TrainingError: a run is missing or there twice, or the baseline is not among them.
    """
    if not runs:
        raise TrainingError("There is no run to compare; train at least one policy.")
    for one, following in pairwise(runs):
        if (one.policy, one.fold, one.seed) == (following.policy, following.fold, following.seed):
            raise TrainingError(f"{_place(one)} is there twice; give each run once.")
    names = sorted({run.policy for run in runs})
    places = {(run.policy, run.fold, run.seed) for run in runs}
    for place in product(names, sorted({run.fold for run in runs}), sorted({run.seed for run in runs})):
        if place not in places:
            raise TrainingError(
                f"The run of policy '{place[0]}' on fold {place[1]} with seed {place[2]} is missing, but every policy needs "
                "the same folds and seeds; train it, or leave that policy, fold or seed out."
            )
    if baseline is None:
        baseline = "none" if "none" in names else names[0]
    if baseline not in names:
        raise TrainingError(
            f"The baseline '{baseline}' is not among the policies ({', '.join(names)}); name one of them."
        )
    return [baseline, *(name for name in names if name != baseline)]


def read_folds(runs: Sequence[RunScores], policies: Sequence[str], good: str | None, overkill: float) -> ReadFolds:
    """Read sorted runs fold by fold.

    Args:
        runs: every policy on every fold with every seed.
        policies: in the order in which they are wanted.
        good: the label of good parts, or None.
        overkill: share of good validation parts that may be rejected.

    Raises:
        TrainingError: a run can't be used, held-out samples differ within a fold, or folds test the same part.
    """
    numbers = sorted({run.fold for run in runs})
    of_fold = {
        number: [[run for run in runs if run.policy == policy and run.fold == number] for policy in policies]
        for number in numbers
    }
    read = {number: [[_read_run(run, good, overkill) for run in own] for own in of_fold[number]] for number in numbers}
    firsts = {number: of_fold[number][0][0] for number in numbers}
    for number in numbers:
        for run in chain(*of_fold[number]):
            _refuse_others(run, firsts[number], ("test",) if good is None else ("test", "val"))
    at: dict[str, int] = {}
    tested: dict[str, int] = {}
    strata = []
    for number in numbers:
        samples = _side(firsts[number], "test")
        parts = sorted({part_of(one) for one in samples})
        for key in [*(f"picture {one.id}" for one in samples), *parts]:
            if tested.setdefault(key, number) != number:
                raise TrainingError(
                    f"The {key} is tested in folds {tested[key]} and {number}, so its decisions would count twice; "
                    "compare on folds whose test sides hold different parts."
                )
        at |= {part: len(at) + position for position, part in enumerate(parts)}
        strata.append(len(parts))
    for number in numbers:
        parts = sorted({part_of(one) for one in _side(firsts[number], "val")} - at.keys())
        at |= {part: len(at) + position for position, part in enumerate(parts)}
        strata.append(len(parts))

    def parts_of(samples: Sequence[Held]) -> Positions:
        return np.array([at[part_of(one)] for one in samples], np.int64)

    folds = []
    for number in numbers:
        samples = _side(firsts[number], "test")
        validation = [one for one in _side(firsts[number], "val") if good is not None and one.label == good]
        folds.append(ReadFold(samples, parts_of(samples), parts_of(validation), read[number]))
    return ReadFolds(folds, strata)


def _read_run(run: RunScores, good: str | None, overkill: float) -> ReadRun:
    place = _place(run)
    test = _side(run, "test")
    if not test:
        raise TrainingError(f"{place} has no test sample; train it on a split with a test side.")
    for one, following in pairwise(sorted(one.id for one in run.held if one.side != "aside")):
        if one == following:
            raise TrainingError(f"{place} holds the sample '{one}' twice; score it anew.")
    for held in run.held:
        if held.side == "test" and held.label is None:
            raise TrainingError(f"{place} is tested on '{held.id}', which has no label; leave such samples out.")
        if len(held.probabilities) != len(run.classes) or not np.isfinite(held.probabilities).all():
            raise TrainingError(
                f"{place} does not give '{held.id}' one number for each of {len(run.classes)} classes; score it anew."
            )
    if good is None:
        said = [run.classes[int(np.argmax(held.probabilities))] for held in test]
        right = np.array([held.label == answer for held, answer in zip(test, said, strict=True)])
        return ReadRun(right, right.astype(np.float64), np.zeros(0), math.nan)
    if good not in run.classes:
        raise TrainingError(f"{place} does not know the good label '{good}', only {', '.join(run.classes)}.")
    at_good = run.classes.index(good)
    val_good = np.array([1 - held.probabilities[at_good] for held in _side(run, "val") if held.label == good])
    if not len(val_good):
        raise TrainingError(
            f"{place} has no '{good}' sample on its validation side, so it has no threshold; add good parts or split again."
        )
    scores = np.array([1 - held.probabilities[at_good] for held in test])
    return ReadRun(
        hits=scores > threshold_at_overkill(val_good, overkill),
        scores=scores,
        val_good=val_good,
        precision=average_precision(np.array([held.label != good for held in test]), scores),
    )


def _refuse_others(run: RunScores, first: RunScores, sides: Sequence[str]) -> None:
    """Refuse a run whose test or validation samples are not those of the first run of its fold."""
    for side in sides:
        if [_identity(one) for one in _side(run, side)] != [_identity(one) for one in _side(first, side)]:
            raise TrainingError(
                f"{_place(run)} was {'tested' if side == 'test' else 'validated'} on other samples than {_place(first)}, or "
                "they had other labels, modes or groups; train all policies on the same version and split of the store."
            )


def _side(run: RunScores, side: str) -> list[Held]:
    return sorted((one for one in run.held if one.side == side), key=lambda one: one.id)


def _identity(one: Held) -> tuple[str, str | None, str | None, str | None]:
    return one.id, one.label, one.mode, one.group


def _place(run: RunScores) -> str:
    return f"The run of policy '{run.policy}' on fold {run.fold} with seed {run.seed}"
