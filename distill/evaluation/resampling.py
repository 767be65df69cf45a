"""Folds drawn again by parts and seeds: thresholds, decisions and AUROC of every run inside each resample.

Within each fold its tested parts are drawn with replacement, as many as there are; all pictures of a part come along. A
part has one multiplicity in a resample, also where it validates in another fold; parts that only validate are drawn among
themselves. From the validation samples so drawn every run's thresholds are fitted again, and applied to the test samples
so drawn. Each fold's seeds are drawn too, since another training would move many pictures together. One draw serves every
policy, so differences are paired.

Drawn by two factors, what each run does to each picture alone counts more than once, and intervals are rather too wide than
too narrow (Owen, The pigeonhole bootstrap, 2007).

Sums are whole numbers held as float64, exact in any order; so equal policies differ by exactly 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distill.evaluation.metrics import Flags, Scores

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]

_AT_ONCE = 1 << 18  # multiplicities (pictures x resamples) held at once, which fits a cache and bounds the memory


@dataclass(frozen=True)
class Ranking:
    """The order of a run's test scores, found once; the AUROC for any multiplicities of the samples follows from it.

    Attributes:
        good: (g,) positions of good samples, by rising score.
        defect: (d,) positions of defects.
        below: (d,) how many good samples score less than each defect.
        up_to: (d,) how many score no more than it.
    """

    good: Positions
    defect: Positions
    below: Positions
    up_to: Positions


def rank(defect: Flags, scores: Scores) -> Ranking:
    """Return the ranking of (n,) scores; higher means more likely a defect."""
    good = np.flatnonzero(~defect)
    good = good[np.argsort(scores[good], kind="stable")]
    defects = np.flatnonzero(defect)
    below, up_to = (np.searchsorted(scores[good], scores[defects], side) for side in ("left", "right"))
    return Ranking(good, defects, below, up_to)


def roc_areas(ranking: Ranking, multiplicities: Floats) -> Floats:
    """Return the AUROC of each resample: the share of pairs that the defect wins, a tie being half a win.

    Args:
        ranking: of the n samples.
        multiplicities: (n, resamples) how often each resample holds each sample.

    Returns:
        (resamples,); NaN where a resample has no defect or no good sample.
    """
    good = _running(multiplicities[ranking.good])
    defects = multiplicities[ranking.defect]
    won = np.einsum("ij,ij->j", defects, good[ranking.below] + good[ranking.up_to]) / 2
    return divide(won, defects.sum(axis=0) * good[-1])


@dataclass(frozen=True)
class Decisions:
    """What a run rejects, found once for each threshold that it can have: the scores of its m validation samples.

    Attributes:
        validation: (m,) positions of the validation samples by falling score; (0,) where the threshold is fixed.
        order: (n,) positions of the test samples, kind by kind, each by falling score.
        starts: (kinds,) where each kind begins in that order.
        above: (kinds, thresholds) how many of a kind score above each threshold, in the order of `validation`.
    """

    validation: Positions
    order: Positions
    starts: Positions
    above: Positions


def decide(kind: Positions, kinds: int, scores: Scores, val_good: Scores, fixed: float | None = None) -> Decisions:
    """Return the decisions of a run.

    Args:
        kind: (n,) of the test samples, 0 to kinds - 1.
        kinds: how many there are.
        scores: (n,) of the test samples.
        val_good: (m,) scores of the validation samples that set the thresholds.
        fixed: a threshold instead of those.
    """
    validation = np.argsort(-val_good, kind="stable") if fixed is None else np.zeros(0, np.int64)
    thresholds = val_good[validation] if fixed is None else np.array([fixed])
    by_kind = [np.sort(scores[kind == k]) for k in range(kinds)]
    return Decisions(
        validation=validation,
        order=np.lexsort((-scores, kind)),
        starts=np.searchsorted(np.sort(kind), np.arange(kinds)),
        above=np.array([len(of_kind) - np.searchsorted(of_kind, thresholds, "right") for of_kind in by_kind]),
    )


def thresholds_at_overkill(multiplicities: Floats, overkill: Sequence[float]) -> Positions:
    """Return where each resample's thresholds stand: `metrics.threshold_at_overkill`, each score repeated as drawn.

    Args:
        multiplicities: (m, resamples) how often each resample holds each good sample, by falling score.
        overkill: (wanted,) shares that may be rejected.

    Returns:
        (wanted, resamples) positions in 0 to m - 1; of no meaning where a resample holds none of them.
    """
    drawn = np.cumsum(multiplicities, axis=0)
    allowed = np.minimum(np.floor(np.outer(overkill, drawn[-1]) + 1e-9), drawn[-1] - 1)
    most = int(np.searchsorted(drawn.min(axis=1), allowed.max(), "right"))  # no threshold stands further down
    return np.array([(drawn[:most] <= some).sum(axis=0) for some in allowed])


def rejected(decisions: Decisions, multiplicities: Floats, thresholds: Positions) -> Floats:
    """Count what each resample rejects.

    Args:
        decisions: of the n test samples.
        multiplicities: (n, resamples) how often each resample holds each.
        thresholds: (wanted, resamples) positions of thresholds.

    Returns:
        (kinds, wanted, resamples).
    """
    held = _running(multiplicities[decisions.order])
    starts = decisions.starts[:, None, None]
    columns = np.arange(multiplicities.shape[1])
    counts: Floats = held[starts + decisions.above[:, thresholds], columns] - held[starts, columns]
    return counts


@dataclass(frozen=True)
class Fold:
    """One fold's n test samples and m validation samples, which are the same for all runs.

    Attributes:
        part: (n,) which part each test sample shows.
        kind: (n,) of which kind it is, 0 to kinds - 1.
        val_part: (m,) which part each validation sample shows.
        decisions: for each policy, of each seed's run.
        rankings: the same; empty where no AUROC is wanted.
    """

    part: Positions
    kind: Positions
    val_part: Positions
    decisions: Sequence[Sequence[Decisions]]
    rankings: Sequence[Sequence[Ranking]]

    @property
    def has_area(self) -> bool:
        """Whether its test side has both defects and good ones."""
        return bool(self.rankings) and 0 < len(self.rankings[0][0].good) < len(self.part)


@dataclass(frozen=True)
class Resampled:
    """Sums over the folds; entry 0 of the last axis is the sample itself, the others are its resamples.

    Attributes:
        pictures: (kinds, 1 + resamples).
        rejected: (policies, kinds, 1 + resamples) at the first threshold, over all seeds; NaN where a fold's validation
            side is not drawn at all. A seed that is drawn twice counts twice.
        rejected_on_grid: (policies, kinds, 1 + resamples) the same, over all other thresholds.
        areas: (policies, 1 + resamples) AUROC, the mean over seeds and folds; NaN where one of the folds has none.
        folds_with_area: over how many folds that is; a fold whose test side has one kind only does not count.
    """

    pictures: Floats
    rejected: Floats
    rejected_on_grid: Floats
    areas: Floats
    folds_with_area: int


def resample(
    folds: Sequence[Fold], strata: Sequence[int], overkill: Sequence[float], resamples: int, seed: int
) -> Resampled:
    """Draw parts and seeds with replacement, and find thresholds, decisions and AUROC again.

    What is drawn depends on the seed of the draws and, for each stratum, its number and size alone. Each fold's runs are a
    stratum after those of the parts; the same are drawn for every policy.

    Args:
        folds: with the same policies and kinds.
        strata: how many parts each set has that is drawn by itself; parts are numbered in this order.
        overkill: what the thresholds are for; of no effect on decisions whose threshold is fixed.
        resamples: how many.
        seed: of the draws.
    """
    policies, kinds = len(folds[0].decisions), len(folds[0].decisions[0][0].starts)
    pictures, areas = np.zeros((kinds, 1 + resamples)), np.zeros((policies, 1 + resamples))
    at_first, at_others = (np.zeros((policies, kinds, 1 + resamples)) for _ in range(2))
    seeds, parts = len(folds[0].decisions[0]), sum(strata)
    at_once = max(1, _AT_ONCE // max(max(len(fold.part), len(fold.val_part)) for fold in folds))
    for at, drawn in _draws([*strata, *[seeds] * len(folds)], resamples, at_once, seed):
        for fold, times in zip(folds, drawn[parts:].reshape(len(folds), seeds, -1), strict=True):
            tested, validating = drawn[fold.part], drawn[fold.val_part]
            pictures[:, at] += np.array([tested[fold.kind == kind].sum(axis=0) for kind in range(kinds)])
            for policy, runs in enumerate(fold.decisions):
                for run, time in zip(runs, times, strict=True):
                    thresholds = np.zeros((len(overkill), tested.shape[1]), np.int64)
                    if len(run.validation):
                        thresholds = thresholds_at_overkill(validating[run.validation], overkill)
                    hits = time * rejected(run, tested, thresholds)
                    at_first[policy, :, at] += hits[:, 0]
                    at_others[policy, :, at] += hits[:, 1:].sum(axis=1)
            if len(validating):
                lacks = ~validating.any(axis=0)
                at_first[:, :, at][:, :, lacks] = np.nan
                at_others[:, :, at][:, :, lacks] = np.nan
            if fold.has_area:
                for policy, ranked in enumerate(fold.rankings):
                    areas[policy, at] += sum(times[k] * roc_areas(run, tested) for k, run in enumerate(ranked))
    counted = sum(fold.has_area for fold in folds)
    return Resampled(pictures, at_first, at_others, divide(areas, np.full_like(areas, counted * seeds)), counted)


def _draws(strata: Sequence[int], resamples: int, at_once: int, seed: int) -> Iterator[tuple[slice, Floats]]:
    """Yield (of all strata, some) multiplicities and where they belong: each once, then the resamples."""
    yield slice(0, 1), np.ones((sum(strata), 1))
    randoms = [np.random.default_rng([seed, number]) for number in range(len(strata))]
    for start in range(0, resamples, at_once):
        some = min(at_once, resamples - start)
        drawn = [_multiplicities(random, size, some) for random, size in zip(randoms, strata, strict=True)]
        yield slice(1 + start, 1 + start + some), np.concatenate(drawn).astype(np.float64)


def _multiplicities(random: np.random.Generator, size: int, some: int) -> Positions:
    if not size:
        return np.zeros((0, some), np.int64)
    chosen = random.integers(size, size=(some, size)) * some + np.arange(some)[:, None]
    return np.bincount(chosen.ravel(), minlength=size * some).reshape(size, some)


def _running(values: Floats) -> Floats:
    """Return (n + 1, columns) sums of the first 0 to n rows."""
    sums = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, axis=0, out=sums[1:])
    return sums


def divide(numerator: Floats, denominator: Floats) -> Floats:
    """Divide; NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator != 0)
