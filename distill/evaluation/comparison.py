"""Policies compared on the same held-out samples: decisions pooled over folds, AUROC within them, paired differences."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from distill.evaluation.intervals import Difference, finite, paired_difference, percentile_interval
from distill.evaluation.metrics import OVERKILL_GRID, Scores, upper_bound
from distill.evaluation.report import Held, kind_of
from distill.evaluation.resampling import Fold, Positions, Resampled, decide, divide, rank, resample
from distill.evaluation.runs import ReadFold, RunScores, policies_of, read_folds
from embedstore.errors import SettingsError

__all__ = ["Comparison", "PolicyFigures", "RecallFigures", "RunScores", "compare_runs"]


@dataclass(frozen=True)
class RecallFigures:
    """How one kind of defect fared; without a good label, how one label fared.

    Attributes:
        name: the mode (the label where a sample has no mode).
        pictures: of it, on all test sides.
        caught: expected number that is rejected (without a good label: given the right label), the mean over seeds.
        recall: caught / pictures.
        low, high: 95 % interval of the recall over parts and seeds; None where one part shows it.
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
        without_group: test pictures without a group, each of them counted as a part of its own.
        validation_good: good validation samples that thresholds come from, in the fold that has the fewest; None without
            a good label.
        folds_with_area: that test both defects and good parts, so that AUROC and AUPR can be had; None without a good
            label.
        remarks: sentences of the runs on their own data.
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
    without_group: int = 0
    validation_good: int | None = None
    folds_with_area: int | None = None
    remarks: list[str] = field(default_factory=list)

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

    What is estimated: each figure's mean over trainings like these, on parts like those of the test sides. Each run's
    thresholds come from its own validation good samples. A sample's rejection is the share of seeds that reject it, pooled
    over folds; AUROC and AUPR are taken within runs and averaged.

    What the 95 % percentile intervals hold: other parts, on test and validation sides, with thresholds fitted again, the
    same parts for every policy; and from two seeds on other trainings, each fold's seeds being drawn too. Where a resample
    lacks a kind of defect, the mean over kinds is over the others, so that a kind shown by one part decides nothing; where
    it lacks what a figure needs, it is left out of that figure.

    How far they can be trusted, by simulation of equally good policies on five folds with 140 and with 360 good validation
    pictures: where trainings differ in what they do to each picture alone, at most 7 % of the intervals exclude zero with
    one seed, and under 1 % with two or three, which are too wide then. Where each training moves all defects together, and
    each kind, by .17 (.33) of a score's standard deviation within its kind, so many of those of recall and AUROC do: 6 to 39 %
    (20 to 57 %) with one seed, 0 to 9 % (3 to 17 %) with two, 1 to 6 % (1 to 10 %) with three. Each interval stands alone:
    of twenty without a true difference, one excludes zero.

    Args:
        runs: every policy with the same folds, seeds, and held-out samples.
        good: the label of good parts; None compares right labels instead of escapes.
        overkill: share of good validation parts that may be rejected.
        baseline: the policy that the others are held against; None takes `none`, else the first by name.
        resamples: of parts and seeds, for the intervals.
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
    policies = policies_of(ordered, baseline)
    seeds = len({run.seed for run in ordered})
    read = read_folds(ordered, policies, good, overkill)
    folds = read.folds
    kinds = sorted({name for fold in folds for one in fold.samples if (name := _name(one, good)) is not None})
    prepared = [_prepare(fold, kinds, good) for fold in folds]
    drawn = resample(prepared, read.strata, (overkill, *OVERKILL_GRID), resamples, seed)
    shares = divide(drawn.rejected, np.broadcast_to(drawn.pictures * seeds, drawn.rejected.shape))
    parts = [_parts(prepared, [k]) for k in range(1 + len(kinds))]
    figures = _figures(drawn, shares, seeds, good)
    hangs_on = _hangs_on(_parts(prepared, range(1, 1 + len(kinds))), parts[0], good)
    missed = np.sum([_parts_missed(fold, one) for fold, one in zip(folds, prepared, strict=True)], axis=0)
    by_policy = []
    for at, policy in enumerate(policies):
        own = [run for run in ordered if run.policy == policy]
        by_kind = [
            _recall_figures(
                name,
                shares[at, k],
                pictures=int(drawn.pictures[k, 0]),
                caught=float(drawn.rejected[at, k, 0]) / seeds,
                parts=parts[k],
                missed=missed[at, k] / seeds,
            )
            for k, name in enumerate(kinds, start=1)
        ]
        by_kind.sort(key=lambda one: (one.recall, one.name))
        worst = by_kind[0].name if by_kind else None
        named: dict[str, Any] = {name: finite(values[at, 0]) for name, values in figures.items()}
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
        paired_difference(policy, policies[0], name, values[at], values[0], parts=hangs_on[name], seeds=seeds)
        for at, policy in enumerate(policies)
        if at > 0
        for name, values in figures.items()
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
        parts=sum(read.strata[: len(folds)]),
        resamples=resamples,
        seed=seed,
        without_group=sum(one.group is None for fold in folds for one in fold.samples),
        validation_good=None if good is None else min(len(fold.val_part) for fold in folds),
        folds_with_area=None if good is None else int(drawn.folds_with_area),
    )


def _name(one: Held, good: str | None) -> str | None:
    """Return which kind of defect a sample is, None where it is good; without a good label, its label."""
    if good is None:
        return one.label
    return None if one.label == good else kind_of(one)


def _prepare(fold: ReadFold, kinds: list[str], good: str | None) -> Fold:
    """Order a fold's scores. Kind 0 is good, the others are `kinds`; without a good label nothing is of kind 0."""
    numbers = {name: number for number, name in enumerate(kinds, start=1)}
    names = [_name(one, good) for one in fold.samples]
    kind = np.array([0 if name is None else numbers[name] for name in names], np.int64)
    fixed = 0.5 if good is None else None  # between the scores of right and wrong answers
    return Fold(
        part=fold.part,
        kind=kind,
        val_part=fold.val_part,
        decisions=[[decide(kind, 1 + len(kinds), run.scores, run.val_good, fixed) for run in of] for of in fold.runs],
        rankings=[] if good is None else [[rank(kind > 0, run.scores) for run in of] for of in fold.runs],
    )


def _figures(drawn: Resampled, shares: Scores, seeds: int, good: str | None) -> dict[str, Scores]:
    """Return each figure's (policies, 1 + resamples), seeds and grid averaged."""
    by_kind = shares[:, 1:]
    known = ~np.isnan(by_kind)
    macro = divide(np.where(known, by_kind, 0).sum(axis=1), known.sum(axis=1).astype(np.float64))
    caught = drawn.rejected[:, 1:].sum(axis=1)
    defects = np.broadcast_to(drawn.pictures[1:].sum(axis=0) * seeds, caught.shape)
    recall = divide(caught, defects)
    if good is None:
        return {"accuracy": recall, "macro_recall": macro, "worst_class_recall": np.fmin.reduce(by_kind, axis=1)}
    return {
        "mean_recall": divide(drawn.rejected_on_grid[:, 1:].sum(axis=1), defects * len(OVERKILL_GRID)),
        "recall": recall,
        "overkill": shares[:, 0],
        "macro_mode_recall": macro,
        "auroc": drawn.areas,
    }


def _hangs_on(defects: int, goods: int, good: str | None) -> dict[str, int]:
    """Return how many test parts each figure hangs on."""
    if good is None:
        return dict.fromkeys(("accuracy", "macro_recall", "worst_class_recall"), defects)
    return dict.fromkeys(("mean_recall", "recall", "macro_mode_recall"), defects) | {
        "overkill": goods,
        "auroc": min(defects, goods),
    }


def _parts(folds: list[Fold], kinds: Sequence[int]) -> int:
    """Return how many test parts show one of these kinds."""
    return sum(len(np.unique(fold.part[np.isin(fold.kind, kinds)])) for fold in folds)


def _parts_missed(fold: ReadFold, prepared: Fold) -> Positions:
    """Return (policies, 1 + kinds): parts with a picture missed, summed over seeds."""
    missed = np.zeros((len(fold.runs), len(prepared.decisions[0][0].starts)), np.int64)
    for kind in range(missed.shape[1]):
        members = np.flatnonzero(prepared.kind == kind)
        for policy, of_seeds in enumerate(fold.runs):
            missed[policy, kind] = sum(len(np.unique(fold.part[members[~run.hits[members]]])) for run in of_seeds)
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
