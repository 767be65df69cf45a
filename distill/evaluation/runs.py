"""What runs say of their held-out samples, read and checked: the same samples for all policies, each part tested in one fold.

A run holds out two folds, one to test and one to validate. It learned from neither, so it is tested on both, unless it was
chosen by one of them. The thresholds for a fold come from the scores that all runs which hold it out give to the good
samples of the other fold that each of them holds out: cross-fitted scores, of more parts than one fold has.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
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
        policy, fold, seed: which run it is; the fold is the tested one.
        held: its labelled samples of val and test; those of aside are ignored.
        classes: the order of the probabilities.
        seconds: training time.
        peak_memory: bytes of the process, or None where it was not measured.
        curve: figures by epoch, as `run_directory.read_metrics` gives them.
        val_fold: the fold that validates, where the run is tested on that, too; None where its epoch was chosen by it.
    """

    policy: str
    fold: int
    seed: int
    held: Sequence[Held]
    classes: Sequence[str]
    seconds: float = 0.0
    peak_memory: int | None = None
    curve: Sequence[Mapping[str, float]] = ()
    val_fold: int | None = None


@dataclass(frozen=True)
class ReadRun:
    """What one run says of a fold's n samples, in the order of their ids.

    Attributes:
        hits: (n,) whether each is rejected; without a good label, whether it gets the right label.
        scores: (n,) of being a defect; without a good label 1 for a hit and 0 for none.
        precision: average precision; NaN without a good label.
    """

    hits: Flags
    scores: Scores
    precision: float


@dataclass(frozen=True)
class ReadFold:
    """One fold, held out by the same r runs of each policy.

    Attributes:
        samples: the n samples, by id.
        part: (n,) the number of the part that each shows.
        run: (r,) the number of each run among all of its policy.
        runs: for each policy, its r runs.
        val_part: (m,) the part of each cross-fitted score of a good sample; none without a good label.
        val_run: (m,) which of the r runs gave it.
        val_pictures: of how many good pictures they are.
        val_good: (policies, m) those scores, from which the thresholds come.
        val_defect: (policies, w) the same of defects, for the threshold that lets none of them pass.
    """

    samples: list[Held]
    part: Positions
    run: Positions
    runs: list[list[ReadRun]]
    val_part: Positions
    val_run: Positions
    val_pictures: int
    val_good: Scores
    val_defect: Scores


@dataclass(frozen=True)
class ReadFolds:
    """All folds, and how many parts each stratum has that is drawn by itself.

    Attributes:
        folds: by number.
        strata: parts that each fold tests, then parts that only validate, each with the first fold in which it does.
            Parts are numbered in this order; so one that is tested in a fold and validates in another is one part.
        learned: samples that some of the runs which hold their fold out had to learn, since nothing else shows their label;
            they are not tested.
    """

    folds: list[ReadFold]
    strata: list[int]
    learned: int


@dataclass(frozen=True)
class _Look:
    """A run as it looks at one of the folds that it holds out.

    Attributes:
        number: of the run, among all of its policy.
        tested: its samples of that fold, by id.
        setting: those of the other fold, which set thresholds.
    """

    number: int
    run: RunScores
    tested: list[Held]
    setting: list[Held]


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
        overkill: share of good parts that may be rejected.

    Raises:
        TrainingError: a run can't be used, policies hold out other samples, or folds test the same part.
    """
    for run in runs:
        _check(run, good)
    of_policy = [[run for run in runs if run.policy == policy] for policy in policies]
    _refuse_uneven(of_policy[0])
    for others in zip(*of_policy, strict=True):
        for run in others[1:]:
            _refuse_others(run, others[0], good)
    numbers = sorted({run.fold for run in runs})
    looks = [[_looks(own, number) for own in of_policy] for number in numbers]
    tested = [_tested(of_fold[0]) for of_fold in looks]
    _refuse_twice(tested, numbers)
    validating = [[[one for one in look.setting if one.label == good] for look in of_fold[0]] for of_fold in looks]
    if good is None:
        validating = [[[] for _ in by_run] for by_run in validating]
    at: dict[str, int] = {}
    strata = []
    for some in [*tested, *(list(chain(*by_run)) for by_run in validating)]:
        parts = sorted({part_of(one) for one in some} - at.keys())
        at |= {part: len(at) + position for position, part in enumerate(parts)}
        strata.append(len(parts))
    folds = []
    for of_fold, samples, by_run in zip(looks, tested, validating, strict=True):
        val_good = np.array([_setting_scores(own, good, defects=False) for own in of_fold])
        folds.append(
            ReadFold(
                samples=samples,
                part=np.array([at[part_of(one)] for one in samples], np.int64),
                run=np.array([look.number for look in of_fold[0]], np.int64),
                runs=[
                    [_read(look, samples, good, own_good, overkill) for look in own]
                    for own, own_good in zip(of_fold, val_good, strict=True)
                ],
                val_part=np.array([at[part_of(one)] for one in chain(*by_run)], np.int64),
                val_run=np.repeat(np.arange(len(by_run)), [len(of_run) for of_run in by_run]),
                val_pictures=len({one.id for one in chain(*by_run)}),
                val_good=val_good,
                val_defect=np.array([_setting_scores(own, good, defects=True) for own in of_fold]),
            )
        )
    held = {one.id for of_fold in looks for look in of_fold[0] for one in look.tested}
    return ReadFolds(folds, strata, len(held) - sum(map(len, tested)))


def _looks(runs: Sequence[RunScores], fold: int) -> list[_Look]:
    """Return the runs of a policy that hold a fold out and were not chosen by it."""
    numbered = list(enumerate(runs))
    return [
        *(_Look(at, run, _side(run, "test"), _side(run, "val")) for at, run in numbered if run.fold == fold),
        *(_Look(at, run, _side(run, "val"), _side(run, "test")) for at, run in numbered if run.val_fold == fold),
    ]


def _tested(looks: Sequence[_Look]) -> list[Held]:
    """Return the samples that all of these runs hold out.

    They hold out the same, but where a label is rare and runs hold out two folds: some may have to learn what others test.
    """
    first = looks[0]
    known = {one.id: _identity(one) for one in first.tested}
    common = set(known)
    for look in looks[1:]:
        own = {one.id: _identity(one) for one in look.tested}
        both = known.keys() & own.keys()
        if any(own[name] != known[name] for name in both) or (look.run.val_fold is None and own.keys() != known.keys()):
            raise _other_samples("tested", look.run, first.run)
        common &= both
    if not common:
        raise TrainingError(
            f"The runs of policy '{first.run.policy}' that hold out one of the folds have no sample of it in common; train "
            "all on the same version and split of the store."
        )
    return [one for one in first.tested if one.id in common]


def _refuse_twice(tested: Sequence[Sequence[Held]], numbers: Sequence[int]) -> None:
    """Refuse folds that test the same part."""
    seen: dict[str, int] = {}
    for number, samples in zip(numbers, tested, strict=True):
        parts = sorted({part_of(one) for one in samples})
        for key in [*(f"picture {one.id}" for one in samples), *parts]:
            if seen.setdefault(key, number) != number:
                raise TrainingError(
                    f"The {key} is tested in folds {seen[key]} and {number}, so its decisions would count twice; "
                    "compare on folds whose test sides hold different parts."
                )


def _setting_scores(looks: Sequence[_Look], good: str | None, *, defects: bool) -> Scores:
    """Return the scores of the good samples, or of the defects, that set thresholds, run after run; none without a good label."""
    if good is None:
        return np.zeros(0)
    return np.concatenate(
        [_scores(look.run, [one for one in look.setting if (one.label != good) == defects], good) for look in looks]
    )


def _read(look: _Look, samples: Sequence[Held], good: str | None, val_good: Scores, overkill: float) -> ReadRun:
    wanted = {one.id for one in samples}
    own = [one for one in look.tested if one.id in wanted]
    if good is None:
        said = [look.run.classes[int(np.argmax(held.probabilities))] for held in own]
        right = np.array([held.label == answer for held, answer in zip(own, said, strict=True)])
        return ReadRun(right, right.astype(np.float64), math.nan)
    scores = _scores(look.run, own, good)
    return ReadRun(
        hits=scores > threshold_at_overkill(val_good, overkill),
        scores=scores,
        precision=average_precision(np.array([held.label != good for held in own]), scores),
    )


def _scores(run: RunScores, samples: Iterable[Held], good: str) -> Scores:
    at_good = run.classes.index(good)
    return np.array([1 - one.probabilities[at_good] for one in samples], np.float64)


def _check(run: RunScores, good: str | None) -> None:
    """Refuse a run whose scores can't be used."""
    place = _place(run)
    if not _side(run, "test"):
        raise TrainingError(f"{place} has no test sample; train it on a split with a test side.")
    for one, following in pairwise(sorted(one.id for one in run.held if one.side != "aside")):
        if one == following:
            raise TrainingError(f"{place} holds the sample '{one}' twice; score it anew.")
    if run.val_fold == run.fold:
        raise TrainingError(f"{place} validates on the fold that it tests; hold out two folds.")
    tested = ("test",) if run.val_fold is None else ("test", "val")
    for held in run.held:
        if held.side in tested and held.label is None:
            raise TrainingError(f"{place} is tested on '{held.id}', which has no label; leave such samples out.")
        if len(held.probabilities) != len(run.classes) or not np.isfinite(held.probabilities).all():
            raise TrainingError(
                f"{place} does not give '{held.id}' one number for each of {len(run.classes)} classes; score it anew."
            )
    if good is None:
        return
    if good not in run.classes:
        raise TrainingError(f"{place} does not know the good label '{good}', only {', '.join(run.classes)}.")
    if not any(held.label == good for held in _side(run, "val")):
        raise TrainingError(
            f"{place} has no '{good}' sample on its validation side, so it has no threshold; add good parts or split again."
        )


def _refuse_uneven(runs: Sequence[RunScores]) -> None:
    """Refuse runs of a policy of which more are tested on one fold than on another."""
    looks = Counter(fold for run in runs for fold in (run.fold, run.val_fold) if fold is not None)
    if len(set(looks.values())) > 1 or looks.keys() > {run.fold for run in runs}:
        told = ", ".join(f"{looks[fold]} on fold {fold}" for fold in sorted(looks))
        raise TrainingError(
            f"Not as many runs of policy '{runs[0].policy}' are tested on each fold ({told}); validate on each as often as it is "
            "tested."
        )


def _refuse_others(run: RunScores, first: RunScores, good: str | None) -> None:
    """Refuse a run that does not hold out what the run of another policy does, on the same fold and with the same seed."""
    matters = run.val_fold is not None or good is not None
    for side, what in (("test", "tested"), ("val", "validated"))[: 2 if matters else 1]:
        if [_identity(one) for one in _side(run, side)] != [_identity(one) for one in _side(first, side)]:
            raise _other_samples(what, run, first)
    if (run.val_fold is None) != (first.val_fold is None):
        raise TrainingError(
            f"{_place(run)} and {_place(first)} are tested on one and on both of the folds that they hold out; keep the last "
            "epoch of every run, or the best one."
        )
    if run.val_fold != first.val_fold:
        raise _other_samples("validated", run, first)


def _other_samples(what: str, run: RunScores, first: RunScores) -> TrainingError:
    return TrainingError(
        f"{_place(run)} was {what} on other samples than {_place(first)}, or they had other labels, modes or groups; train "
        "all policies on the same version and split of the store."
    )


def _side(run: RunScores, side: str) -> list[Held]:
    return sorted((one for one in run.held if one.side == side), key=lambda one: one.id)


def _identity(one: Held) -> tuple[str, str | None, str | None, str | None]:
    return one.id, one.label, one.mode, one.group


def _place(run: RunScores) -> str:
    return f"The run of policy '{run.policy}' on fold {run.fold} with seed {run.seed}"
