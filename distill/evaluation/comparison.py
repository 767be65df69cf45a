"""Policies compared on the same held-out samples: decisions pooled over folds, AUROC within them, paired differences."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from distill.evaluation.figures import Comparison, PolicyFigures, RecallFigures, main_figure
from distill.evaluation.intervals import finite, paired_difference, percentile_interval
from distill.evaluation.metrics import OVERKILL_GRID, Scores, upper_bound
from distill.evaluation.report import Held, kind_of
from distill.evaluation.resampling import Fold, Positions, Resampled, decide, divide, rank, resample
from distill.evaluation.runs import ReadFold, RunScores, policies_of, read_folds
from embedstore.errors import SettingsError

__all__ = ["Comparison", "PolicyFigures", "RecallFigures", "RunScores", "compare_runs", "main_figure"]


def compare_runs(
    runs: Iterable[RunScores],
    *,
    good: str | None,
    overkill: float,
    baseline: str | None = None,
    against: Sequence[str] = (),
    resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare policies on held-out scores; nothing is trained, and the order of runs and samples changes nothing.

    What is estimated: each figure's mean over trainings like these, on parts like those of the test sides. Thresholds are
    cross-fitted, see `runs`. A sample's rejection is the share of runs that reject it, pooled over folds; AUROC and AUPR are
    taken within runs and folds and averaged.

    What the 95 % percentile intervals hold: other parts, on test and validation sides, with thresholds fitted again, the
    same parts for every policy; and where several runs test a fold other trainings, see `resampling`. Where a resample lacks
    a kind of defect, the mean over kinds is over the others, so that a kind shown by one part decides nothing; where it lacks
    what a figure needs, it is left out of that figure.

    How far they can be trusted, by 200 simulations each of two equally good policies on five folds of 40 good parts and 15
    defective ones of five kinds, five pictures of each part, every run tested on both folds that it holds out: where
    trainings differ in what they do to each picture alone, none of the intervals of recall, its means and AUROC exclude zero;
    they are half too wide then. Where each training moves all defects together, and each kind, by .17 (.33) of a score's
    standard deviation within its kind, so many of them do: 6 to 12 % (20 to 28 %) with one seed, 3 to 10 % (7 to 10 %) with
    two, 4 to 8 % (7 to 11 %) with three, AUROC's most often. Those of the overkill are twice too wide and more. Each
    interval stands alone: of twenty without a true difference, one excludes zero.

    Args:
        runs: every policy with the same folds, seeds, and held-out samples.
        good: the label of good parts; None compares right labels instead of escapes.
        overkill: share of good parts that may be rejected.
        baseline: the policy that the others are held against; None takes `none`, else the first by name.
        against: policies that all are held against, too, by the same draws; each difference names its own baseline.
        resamples: for the intervals.
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
    for rival in against:
        policies_of(ordered, rival)  # refuses one that is not there
    seeds = len({run.seed for run in ordered})
    read = read_folds(ordered, policies, good, overkill)
    folds, looks = read.folds, len(read.folds[0].runs[0])
    kinds = sorted({name for fold in folds for one in fold.samples if (name := _name(one, good)) is not None})
    prepared = [_prepare(fold, kinds, good) for fold in folds]
    drawn = resample(prepared, read.strata, (overkill, *OVERKILL_GRID), resamples, seed)
    shares = divide(drawn.rejected, np.broadcast_to(drawn.pictures * looks, drawn.rejected.shape))
    parts = [_parts(prepared, [k]) for k in range(1 + len(kinds))]
    figures = _figures(drawn, shares, looks, good)
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
                caught=float(drawn.rejected[at, k, 0]) / looks,
                parts=parts[k],
                missed=missed[at, k] / looks,
            )
            for k, name in enumerate(kinds, start=1)
        ]
        by_kind.sort(key=lambda one: (one.recall, one.name))
        worst = by_kind[0].name if by_kind else None
        named: dict[str, Any] = {name: finite(values[at, 0]) for name, values in figures.items()}
        named |= (
            {"by_class": by_kind, "worst_class": worst} if good is None else {"by_mode": by_kind, "worst_mode": worst}
        )
        if good is not None:
            named |= _without_escape(folds, prepared, at)
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
    ranked = [0, *sorted(range(1, len(policies)), key=lambda at: _rank(by_policy[at], main_figure(good)))]
    differences = [
        paired_difference(
            policies[at], policies[base], name, values[at], values[base], parts=hangs_on[name], looks=looks
        )
        for base in dict.fromkeys((0, *map(policies.index, against)))
        for at in ranked
        if at != base
        for name, values in figures.items()
    ]
    return Comparison(
        policies=[by_policy[at] for at in ranked],
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
        validation_good=None if good is None else min(fold.val_pictures for fold in folds),
        validation_scores=None if good is None else min(fold.val_good.shape[1] for fold in folds),
        folds_with_area=None if good is None else int(drawn.folds_with_area),
        looks=looks,
        learned=read.learned,
    )


def _rank(one: PolicyFigures, figure: str) -> tuple[float, str]:
    """Return what sorts a policy before those that find less, which stand before those without the figure."""
    value: float | None = getattr(one, figure)
    return math.inf if value is None else -value, one.policy


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
    falling = [np.argsort(-val_good, kind="stable") for val_good in fold.val_good]
    thresholds = [val_good[order] for val_good, order in zip(fold.val_good, falling, strict=True)]
    if good is None:
        thresholds = [np.array([0.5])] * len(falling)  # between the scores of right and wrong answers
    return Fold(
        part=fold.part,
        kind=kind,
        run=fold.run,
        val_part=fold.val_part,
        val_run=fold.val_run,
        falling=falling,
        decisions=[
            [decide(kind, 1 + len(kinds), run.scores, possible) for run in of]
            for of, possible in zip(fold.runs, thresholds, strict=True)
        ],
        rankings=[] if good is None else [[rank(kind > 0, run.scores) for run in of] for of in fold.runs],
    )


def _without_escape(folds: Sequence[ReadFold], prepared: Sequence[Fold], policy: int) -> dict[str, float | None]:
    """Return recall and overkill where each fold's threshold is the lowest cross-fitted score of a defect."""
    if any(not len(fold.val_defect[policy]) for fold in folds):
        return {}
    rejected, pictures = np.zeros(2), np.zeros(2)  # of good parts, of defects
    for fold, one in zip(folds, prepared, strict=True):
        defect = (one.kind > 0).astype(np.int64)
        for run in fold.runs[policy]:
            rejected += np.bincount(defect, run.scores >= fold.val_defect[policy].min(), minlength=2)
            pictures += np.bincount(defect, minlength=2)
    overkill, recall = divide(rejected, pictures)
    return {"zero_escape_recall": finite(recall), "zero_escape_overkill": finite(overkill)}


def _figures(drawn: Resampled, shares: Scores, looks: int, good: str | None) -> dict[str, Scores]:
    """Return each figure's (policies, 1 + resamples), runs and grid averaged."""
    by_kind = shares[:, 1:]
    known = ~np.isnan(by_kind)
    macro = divide(np.where(known, by_kind, 0).sum(axis=1), known.sum(axis=1).astype(np.float64))
    caught = drawn.rejected[:, 1:].sum(axis=1)
    defects = np.broadcast_to(drawn.pictures[1:].sum(axis=0) * looks, caught.shape)
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
    """Return (policies, 1 + kinds): parts with a picture missed, summed over runs."""
    missed = np.zeros((len(fold.runs), len(prepared.decisions[0][0].starts)), np.int64)
    for kind in range(missed.shape[1]):
        members = np.flatnonzero(prepared.kind == kind)
        for policy, runs in enumerate(fold.runs):
            missed[policy, kind] = sum(len(np.unique(fold.part[members[~run.hits[members]]])) for run in runs)
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
