"""Policies compared on the same held-out samples: decisions pooled over folds, AUROC within them, paired differences."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain, pairwise, product
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.evaluation.intervals import (
    Difference,
    FoldCounts,
    Positions,
    Resampled,
    divide,
    finite,
    paired_difference,
    percentile_interval,
    rank,
    resample,
)
from distill.evaluation.metrics import (
    OVERKILL_GRID,
    Flags,
    Scores,
    average_precision,
    threshold_at_overkill,
    upper_bound,
)
from distill.evaluation.report import Held, _kind, _part
from embedstore.errors import SettingsError, TrainingError


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
class RecallFigures:
    """How one kind of defect fared; without a good label, how one label fared.

    Attributes:
        name: the mode (the label where a sample has no mode).
        pictures: of it, on all test sides.
        caught: expected number that is rejected (without a good label: given the right label), the mean over seeds.
        recall: caught / pictures.
        low, high: 95 % interval of the recall over parts; None where one part shows it.
        parts: groups; a picture without a group is a part of its own.
        parts_missed: with at least one picture missed, the mean over seeds.
        escape_bound: 95 % upper bound of the share of parts with one missed. Seeds look at the same parts, so the
            trials are parts and not parts x seeds, and the mean over seeds is rounded up to a whole part.
    """

    name: str
    pictures: int
    caught: float
    recall: float
    low: float | None
    high: float | None
    parts: int
    parts_missed: float
    escape_bound: float


@dataclass(frozen=True)
class PolicyFigures:
    """One policy's figures and costs, over all folds and seeds; a figure that can't be had is None.

    With a good label; decisions come from each run's own threshold and are pooled over folds, seeds averaged:

    Attributes:
        policy: its name.
        recall: share of all defects that is rejected at the stated overkill.
        overkill: share of good test parts that is rejected.
        mean_recall: recall averaged over thresholds for 2 to 10 % overkill.
        macro_mode_recall: recall averaged over the kinds of defect, each counting the same.
        auroc, aupr: mean over folds and seeds of the areas within each run.
        by_mode: each kind of defect, the worst first; the worst of several is biased low.
        worst_mode: the name of the first one.
        accuracy, macro_recall, worst_class_recall, by_class, worst_class: the same without a good label, by the most
            likely label.
        seconds: training time of all runs together.
        peak_memory: bytes, the highest of the runs.
        curve: for each epoch the mean of each figure over the runs that have it.
    """

    policy: str
    recall: float | None = None
    overkill: float | None = None
    mean_recall: float | None = None
    macro_mode_recall: float | None = None
    auroc: float | None = None
    aupr: float | None = None
    by_mode: list[RecallFigures] = field(default_factory=list)
    worst_mode: str | None = None
    accuracy: float | None = None
    macro_recall: float | None = None
    worst_class_recall: float | None = None
    by_class: list[RecallFigures] = field(default_factory=list)
    worst_class: str | None = None
    seconds: float = 0.0
    peak_memory: int | None = None
    curve: list[dict[str, float | None]] = field(default_factory=list)


@dataclass(frozen=True)
class Comparison:
    """Policies side by side, and each one's paired differences to the baseline.

    Attributes:
        policies: the baseline first, the others by name.
        differences: by policy in that order, then by figure.
        baseline: its name.
        good: the label of good parts, or None.
        overkill_wanted: what the thresholds were chosen for; None without a good label.
        folds, seeds: runs of each policy = folds x seeds.
        pictures, parts: on all test sides together.
        resamples, seed: of the intervals.
        remarks: sentences that a reader of the figures should know.
    """

    policies: list[PolicyFigures]
    differences: list[Difference]
    baseline: str
    good: str | None
    overkill_wanted: float | None
    folds: int
    seeds: int
    pictures: int
    parts: int
    resamples: int
    seed: int
    remarks: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values without NaN."""
        return asdict(self)


def compare_runs(
    runs: Iterable[RunScores],
    *,
    good: str | None,
    overkill: float,
    baseline: str | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare policies on held-out scores; nothing is trained, and the order of runs and samples changes nothing.

    What is estimated: each figure's mean over the students at hand, on parts like those of the test sides. Each run's
    thresholds come from its own validation good samples. A sample's rejection is the share of seeds that reject it; then
    parts are resampled within folds, the same ones for every policy. Where a resample lacks a kind of defect, the mean
    over kinds is over the others, so that a kind shown by one part decides nothing.

    What the intervals leave out: other trainings, and other validation parts, since thresholds are not fitted again
    inside a resample. Of intervals of recall and overkill between equally good policies clearly more than 5 % exclude
    zero where few good samples set the thresholds; those of AUROC, which needs none, do not suffer. Each interval stands
    alone: of twenty without a true difference, one excludes zero.

    Args:
        runs: every policy with the same folds, seeds, and test samples.
        good: the label of good parts; None compares right labels instead of escapes.
        overkill: share of good validation parts that may be rejected.
        baseline: the policy that the others are held against; None takes `none`, else the first by name.
        resamples: of the parts, for the intervals.
        seed: of the resampling.

    Raises:
        TrainingError: the runs can't be compared; the message says which and why.
        SettingsError: overkill or resamples are out of range.
    """
    if not 0 <= overkill <= 0.5:
        raise SettingsError(f"The overkill is {overkill}; expected 0 to 0.5.")
    if resamples < 1:
        raise SettingsError(f"The number of resamples is {resamples}; expected 1 or more.")
    if seed < 0:
        raise SettingsError(f"The seed is {seed}; expected 0 or more.")
    ordered = sorted(runs, key=lambda run: (run.policy, run.fold, run.seed))
    policies = _policies(ordered, baseline)
    seeds = len({run.seed for run in ordered})
    folds = _read_folds(ordered, policies, good, overkill)
    kinds = sorted({name for fold in folds for one in fold.samples if (name := _name(one, good)) is not None})
    counts = [_count(fold, kinds, good) for fold in folds]
    drawn = resample(counts, resamples, seed)
    parts = np.sum([(count.trials > 0).sum(axis=1) for count in counts], axis=0)  # that each column is about
    shares = _shares(drawn, seeds, good)
    figures = _figures(shares, drawn, parts, len(kinds), good)
    missed = np.sum([_parts_missed(fold, kinds, good) for fold in folds], axis=0)
    by_policy = []
    for at, policy in enumerate(policies):
        own = [run for run in ordered if run.policy == policy]
        by_kind = [
            _recall_figures(
                name,
                shares[at, k],
                pictures=int(drawn.trials[k, 0]),
                caught=float(drawn.hits[at, k, 0]) / seeds,
                parts=int(parts[k]),
                missed=missed[at, k - 1] / seeds,
            )
            for k, name in enumerate(kinds, start=1)
        ]
        by_kind.sort(key=lambda one: (one.recall, one.name))
        worst = by_kind[0].name if by_kind else None
        named: dict[str, Any] = {name: finite(values[at, 0]) for name, (values, _) in figures.items()}
        named |= (
            {"by_class": by_kind, "worst_class": worst} if good is None else {"by_mode": by_kind, "worst_mode": worst}
        )
        by_policy.append(
            PolicyFigures(
                policy=policy,
                **named,
                aupr=_mean(run.precision for fold in folds for run in fold.runs[at]),
                seconds=math.fsum(run.seconds for run in own),
                peak_memory=max((run.peak_memory for run in own if run.peak_memory is not None), default=None),
                curve=_mean_curve([run.curve for run in own]),
            )
        )
    differences = [
        paired_difference(policy, policies[0], name, values[at], values[0], parts=hangs_on, seeds=seeds)
        for at, policy in enumerate(policies)
        if at > 0
        for name, (values, hangs_on) in figures.items()
    ]
    return Comparison(
        policies=by_policy,
        differences=differences,
        baseline=policies[0],
        good=good,
        overkill_wanted=None if good is None else overkill,
        folds=len(folds),
        seeds=seeds,
        pictures=sum(len(fold.samples) for fold in folds),
        parts=sum(count.trials.shape[1] for count in counts),
        resamples=resamples,
        seed=seed,
        remarks=_remarks(folds, by_policy[0], drawn, seeds, good),
    )


def _policies(runs: list[RunScores], baseline: str | None) -> list[str]:
    """Return the policies, the baseline first; refuse runs that are missing or there twice."""
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


@dataclass(frozen=True)
class _Read:
    """What one run says of its n test samples, in the order of their ids.

    Attributes:
        samples: the test side.
        hits: (n,) whether each is rejected; without a good label, whether it gets the right label.
        grid: (n,) by how many thresholds of `OVERKILL_GRID` it is rejected.
        scores: (n,) of being a defect.
        precision: average precision.
        val_good: how many validation samples set the thresholds.
    """

    samples: list[Held]
    hits: Flags
    grid: Positions
    scores: Scores
    precision: float
    val_good: int


@dataclass(frozen=True)
class _Fold:
    """A fold's n test samples, the sorted parts that they show, which one each (n,) shows, and runs[policy][seed]."""

    samples: list[Held]
    parts: list[str]
    part: Positions
    runs: list[list[_Read]]


def _read_folds(runs: list[RunScores], policies: list[str], good: str | None, overkill: float) -> list[_Fold]:
    """Read sorted runs fold by fold; refuse test sides that differ within a fold or overlap between folds."""
    folds: list[_Fold] = []
    tested: dict[str, int] = {}
    for number in sorted({run.fold for run in runs}):
        members = [[run for run in runs if run.policy == policy and run.fold == number] for policy in policies]
        read = [[_read_run(run, good, overkill) for run in of_policy] for of_policy in members]
        samples = read[0][0].samples
        expected = [_identity(sample) for sample in samples]
        for run, one in zip(chain(*members), chain(*read), strict=True):
            if [_identity(sample) for sample in one.samples] != expected:
                raise TrainingError(
                    f"{_place(run)} was tested on other samples than {_place(members[0][0])}, or they had other labels, "
                    "modes or groups; train all policies on the same version and split of the store."
                )
        parts = sorted({_part(sample) for sample in samples})
        for key in [*(f"picture {sample.id}" for sample in samples), *parts]:
            if tested.setdefault(key, number) != number:
                raise TrainingError(
                    f"The {key} is tested in folds {tested[key]} and {number}, so its decisions would count twice; "
                    "compare on folds whose test sides hold different parts."
                )
        at = {part: position for position, part in enumerate(parts)}
        folds.append(_Fold(samples, parts, np.array([at[_part(sample)] for sample in samples], np.int64), read))
    return folds


def _read_run(run: RunScores, good: str | None, overkill: float) -> _Read:
    place = _place(run)
    test = sorted((one for one in run.held if one.side == "test"), key=lambda one: one.id)
    if not test:
        raise TrainingError(f"{place} has no test sample; train it on a split with a test side.")
    for one, following in pairwise(test):
        if one.id == following.id:
            raise TrainingError(f"{place} holds the test sample '{one.id}' twice; score it anew.")
    for one in run.held:
        if one.side == "test" and one.label is None:
            raise TrainingError(f"{place} is tested on '{one.id}', which has no label; leave such samples out.")
        if len(one.probabilities) != len(run.classes) or not np.isfinite(one.probabilities).all():
            raise TrainingError(
                f"{place} does not give '{one.id}' one number for each of {len(run.classes)} classes; score it anew."
            )
    if good is None:
        said = [run.classes[int(np.argmax(one.probabilities))] for one in test]
        right = np.array([one.label == answer for one, answer in zip(test, said, strict=True)])
        return _Read(test, right, np.zeros(len(test), np.int64), np.zeros(len(test)), math.nan, 0)
    if good not in run.classes:
        raise TrainingError(f"{place} does not know the good label '{good}', only {', '.join(run.classes)}.")
    at_good = run.classes.index(good)
    val_good = [1 - one.probabilities[at_good] for one in run.held if one.side == "val" and one.label == good]
    if not val_good:
        raise TrainingError(
            f"{place} has no '{good}' sample on its validation side, so it has no threshold; add good parts or split again."
        )
    scores = np.array([1 - one.probabilities[at_good] for one in test])
    return _Read(
        samples=test,
        hits=scores > threshold_at_overkill(val_good, overkill),
        grid=np.sum([scores > threshold_at_overkill(val_good, share) for share in OVERKILL_GRID], axis=0),
        scores=scores,
        precision=average_precision(np.array([one.label != good for one in test]), scores),
        val_good=len(val_good),
    )


def _name(one: Held, good: str | None) -> str | None:
    """Return which kind of defect a sample is, None where it is good; without a good label, its label."""
    if good is None:
        return one.label
    return None if one.label == good else _kind(one)


def _count(fold: _Fold, kinds: list[str], good: str | None) -> FoldCounts:
    """Count by part. Columns: all that can be recalled, each kind of it; with a good label also good, and the grid."""
    defect = np.array([one.label != good for one in fold.samples])
    names = np.array([_name(one, good) for one in fold.samples], object)
    hits = np.array([np.sum([run.hits for run in of_seeds], axis=0) for of_seeds in fold.runs])
    grid = np.array([np.sum([run.grid for run in of_seeds], axis=0) for of_seeds in fold.runs])
    columns = [(defect, hits), *((names == kind, hits) for kind in kinds)]
    if good is not None:
        columns += [(~defect, hits), (defect, grid)]

    def by_part(flags: Flags, counted: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.bincount(fold.part[flags], weights=counted[flags], minlength=len(fold.parts))

    ones = np.ones(len(names))
    return FoldCounts(
        part=fold.part,
        trials=np.array([by_part(flags, ones) for flags, _ in columns]),
        hits=np.array([[by_part(flags, counted[at]) for flags, counted in columns] for at in range(len(hits))]),
        rankings=[] if good is None else [[rank(defect, run.scores) for run in of_seeds] for of_seeds in fold.runs],
    )


def _shares(drawn: Resampled, seeds: int, good: str | None) -> Scores:
    """Return (policies, columns, 1 + resamples) of the columns of `_count`, seeds and grid averaged."""
    votes = np.full((drawn.trials.shape[0], 1), seeds)
    if good is not None:
        votes[-1] *= len(OVERKILL_GRID)
    return divide(drawn.hits, np.broadcast_to(drawn.trials * votes, drawn.hits.shape))


def _figures(
    shares: Scores, drawn: Resampled, parts: Positions, kinds: int, good: str | None
) -> dict[str, tuple[Scores, int]]:
    """Return each figure's (policies, 1 + resamples) and how many parts it hangs on."""
    by_kind = shares[:, 1 : 1 + kinds]
    macro = divide(np.nansum(by_kind, axis=1), (~np.isnan(by_kind)).sum(axis=1).astype(np.float64))
    if good is None:
        return {
            "accuracy": (shares[:, 0], int(parts[0])),
            "macro_recall": (macro, int(parts[0])),
            "worst_class_recall": (np.fmin.reduce(by_kind, axis=1), int(parts[0])),
        }
    defects, goods = int(parts[0]), int(parts[-2])
    return {
        "mean_recall": (shares[:, -1], defects),
        "recall": (shares[:, 0], defects),
        "overkill": (shares[:, -2], goods),
        "macro_mode_recall": (macro, defects),
        "auroc": (drawn.areas, min(defects, goods)),
    }


def _parts_missed(fold: _Fold, kinds: list[str], good: str | None) -> Positions:
    """Return (policies, kinds): parts with a picture missed, summed over seeds."""
    names = np.array([_name(one, good) for one in fold.samples], object)
    missed = np.zeros((len(fold.runs), len(kinds)), np.int64)
    for k, kind in enumerate(kinds):
        members = np.flatnonzero(names == kind)
        for policy, of_seeds in enumerate(fold.runs):
            missed[policy, k] = sum(len(np.unique(fold.part[members[~run.hits[members]]])) for run in of_seeds)
    return missed


def _recall_figures(
    name: str, recall: Scores, *, pictures: int, caught: float, parts: int, missed: float
) -> RecallFigures:
    low, high = percentile_interval(recall[1:]) if parts > 1 else (None, None)
    return RecallFigures(
        name=name,
        pictures=pictures,
        caught=caught,
        recall=float(recall[0]),
        low=low,
        high=high,
        parts=parts,
        parts_missed=float(missed),
        escape_bound=upper_bound(math.ceil(missed), parts),
    )


def _mean_curve(curves: Sequence[Sequence[Mapping[str, float]]]) -> list[dict[str, float | None]]:
    """Return for each epoch the mean of each figure over the runs that have it; None where all of them are NaN."""
    found: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for curve in curves:
        for number, row in enumerate(curve, start=1):
            for name, value in row.items():
                found[int(row.get("epoch", number))][name].append(value)
    return [
        {"epoch": epoch, **{name: _mean(values) for name, values in sorted(found[epoch].items()) if name != "epoch"}}
        for epoch in sorted(found)
    ]


def _mean(values: Iterable[float]) -> float | None:
    known = [float(value) for value in values if np.isfinite(value)]
    return math.fsum(known) / len(known) if known else None


def _remarks(folds: list[_Fold], some: PolicyFigures, drawn: Resampled, seeds: int, good: str | None) -> list[str]:
    """Say what a reader of the figures would want to know; which parts are tested is the same for every policy."""
    remarks = []
    if seeds == 1:
        remarks.append("One seed: no interval tells how much another training would move the figures.")
    if good is not None:
        fewest = min(run.val_good for fold in folds for run in chain(*fold.runs))
        remarks.append(
            f"Each threshold comes from validation good samples ({fewest} where there are fewest) and is not drawn again, so "
            "the intervals of recall and overkill leave its noise out; AUROC needs no threshold."
        )
    samples = [one for fold in folds for one in fold.samples]
    alone = sum(one.group is None for one in samples)
    if alone:
        remarks.append(
            f"{alone} of {len(samples)} test pictures have no group, so each counts as a part of its own; where several "
            "show one part, the intervals are too narrow."
        )
    single = [one.name for one in [*some.by_mode, *some.by_class] if one.parts == 1]
    if single:
        remarks.append(f"Shown by one part only, so without an interval: {', '.join(sorted(single))}.")
    if good is not None and drawn.folds_with_area < len(folds):
        remarks.append(
            f"AUROC and AUPR are of {drawn.folds_with_area} of {len(folds)} folds, since the others test defects only or "
            "good parts only."
        )
    return remarks


def _identity(one: Held) -> tuple[str, str | None, str | None, str | None]:
    return one.id, one.label, one.mode, one.group


def _place(run: RunScores) -> str:
    return f"The run of policy '{run.policy}' on fold {run.fold} with seed {run.seed}"
