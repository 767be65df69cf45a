"""Folds drawn again by parts and trainings: thresholds, decisions and AUROC of every run inside each resample.

Within each fold its tested parts are drawn with replacement, as many as there are; all pictures of a part come along. A
part has one multiplicity in a resample, also where it validates in another fold; parts that only validate are drawn among
themselves. From the validation scores so drawn every run's thresholds are fitted again, and applied to the test samples
so drawn.

Other trainings would move many pictures together, so each run gets a random weight, one for all folds that it is tested on
and for the validation scores that it gives. The weights are relative to the others of a fold, and vary as much as if runs
were drawn with replacement; but no fold ever loses all of its few runs (Rubin, The Bayesian bootstrap, 1981).

One draw serves every policy, so differences are paired, and equal policies, for which the same sums are made in the same
order, differ by exactly 0. Drawn by two factors, what each run does to each picture alone counts more than once, and
intervals are rather too wide than too narrow (Owen, The pigeonhole bootstrap, 2007).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distill.evaluation.metrics import Flags, Scores

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]

_ROUNDING = 1e-9  # as in `metrics.threshold_at_overkill`
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
    """What a run rejects, found once for each threshold that it can have.

    Attributes:
        order: (n,) positions of the test samples, kind by kind, each by falling score.
        starts: (kinds,) where each kind begins in that order.
        above: (kinds, thresholds) how many of a kind score above each threshold.
    """

    order: Positions
    starts: Positions
    above: Positions


def decide(kind: Positions, kinds: int, scores: Scores, thresholds: Scores) -> Decisions:
    """Return the decisions of a run.

    Args:
        kind: (n,) of the test samples, 0 to kinds - 1.
        kinds: how many there are.
        scores: (n,) of the test samples.
        thresholds: (m,) that it can have.
    """
    by_kind = [np.sort(scores[kind == k]) for k in range(kinds)]
    return Decisions(
        order=np.lexsort((-scores, kind)),
        starts=np.searchsorted(np.sort(kind), np.arange(kinds)),
        above=np.array([len(of_kind) - np.searchsorted(of_kind, thresholds, "right") for of_kind in by_kind]),
    )


def thresholds_at_overkill(multiplicities: Floats, overkill: Sequence[float]) -> Positions:
    """Return where each resample's thresholds stand: `metrics.threshold_at_overkill`, each score repeated as drawn.

    Args:
        multiplicities: (m, resamples) how often each resample holds each good score, by falling score; any weights.
        overkill: (wanted,) shares that may be rejected, up to a half.

    Returns:
        (wanted, resamples) positions in 0 to m - 1; of no meaning where a resample holds none of them.
    """
    drawn = np.cumsum(multiplicities, axis=0)
    allowed = np.outer(overkill, drawn[-1]) + _ROUNDING
    most = int(np.searchsorted(drawn.min(axis=1), allowed.max(), "right"))  # no threshold stands further down
    return np.minimum([(drawn[:most] <= some).sum(axis=0) for some in allowed], len(drawn) - 1)


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
    """One fold's n test samples and m validation scores, which are of the same samples for all policies.

    Attributes:
        part: (n,) which part each test sample shows.
        kind: (n,) of which kind it is, 0 to kinds - 1.
        run: (r,) the numbers of the runs that are tested on it, among all of a policy.
        val_part: (m,) which part each validation score is of.
        val_run: (m,) which of the r runs gave it.
        falling: for each policy (m,) the validation scores' positions by falling score; (0,) where the threshold is fixed.
        decisions: for each policy, of each of the r runs, whose thresholds are the validation scores in that order, or the fixed
            one.
        rankings: the same; empty where no AUROC is wanted.
    """

    part: Positions
    kind: Positions
    run: Positions
    val_part: Positions
    val_run: Positions
    falling: Sequence[Positions]
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
        rejected: (policies, kinds, 1 + resamples) at the first threshold, over all runs, each as it weighs; NaN where none
            of a fold's validation scores is drawn.
        rejected_on_grid: (policies, kinds, 1 + resamples) the same, over all other thresholds.
        areas: (policies, 1 + resamples) AUROC, the mean over runs and folds; NaN where one of the folds has none.
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
    """Draw parts with replacement, weigh runs at random, and find thresholds, decisions and AUROC again.

    What is drawn depends on the seed of the draws and, for each stratum, its number and size alone; the weights also on how
    many runs there are of each policy, in all and of each fold.

    Args:
        folds: with the same policies and kinds, and r runs each.
        strata: how many parts each set has that is drawn by itself; parts are numbered in this order.
        overkill: what the thresholds are for; of no effect on decisions whose threshold is fixed.
        resamples: how many.
        seed: of the draws.
    """
    policies, kinds = len(folds[0].decisions), len(folds[0].decisions[0][0].starts)
    pictures, areas = np.zeros((kinds, 1 + resamples)), np.zeros((policies, 1 + resamples))
    at_first, at_others = (np.zeros((policies, kinds, 1 + resamples)) for _ in range(2))
    at_once = max(1, _AT_ONCE // max(max(len(fold.part), len(fold.val_part)) for fold in folds))
    runs_each, runs_in_all = len(folds[0].run), 1 + max(int(fold.run.max()) for fold in folds)
    weights = _weights(runs_each, runs_in_all, resamples, [seed, len(strata)])
    for at, drawn in _draws(strata, resamples, at_once, seed):
        for fold in folds:
            weight = weights[fold.run, at]
            weight = weight / weight.mean(axis=0)
            tested, validating = drawn[fold.part], drawn[fold.val_part] * weight[fold.val_run]
            pictures[:, at] += np.array([tested[fold.kind == kind].sum(axis=0) for kind in range(kinds)])
            for policy, (falling, runs) in enumerate(zip(fold.falling, fold.decisions, strict=True)):
                thresholds = np.zeros((len(overkill), tested.shape[1]), np.int64)
                if len(falling):
                    thresholds = thresholds_at_overkill(validating[falling], overkill)
                for run, counts in zip(runs, weight, strict=True):
                    hits = counts * rejected(run, tested, thresholds)
                    at_first[policy, :, at] += hits[:, 0]
                    at_others[policy, :, at] += hits[:, 1:].sum(axis=1)
            if len(validating):
                lacks = ~validating.any(axis=0)
                at_first[:, :, at][:, :, lacks] = np.nan
                at_others[:, :, at][:, :, lacks] = np.nan
            if fold.has_area:
                for policy, ranked in enumerate(fold.rankings):
                    areas[policy, at] += sum(weight[k] * roc_areas(run, tested) for k, run in enumerate(ranked))
    counted = sum(fold.has_area for fold in folds)
    return Resampled(pictures, at_first, at_others, divide(areas, np.full_like(areas, counted * runs_each)), counted)


def _draws(strata: Sequence[int], resamples: int, at_once: int, seed: int) -> Iterator[tuple[slice, Floats]]:
    """Yield (of all strata, some) multiplicities and where they belong: each once, then the resamples."""
    yield slice(0, 1), np.ones((sum(strata), 1))
    randoms = [np.random.default_rng([seed, number]) for number in range(len(strata))]
    for start in range(0, resamples, at_once):
        some = min(at_once, resamples - start)
        drawn = [_multiplicities(random, size, some) for random, size in zip(randoms, strata, strict=True)]
        yield slice(1 + start, 1 + start + some), np.concatenate(drawn).astype(np.float64)


def _weights(runs_each: int, runs_in_all: int, resamples: int, seed: Sequence[int]) -> Floats:
    """Return (runs, 1 + resamples) weights of runs, the first of them 1.

    Drawing n with replacement gives each a multiplicity of variance 1 - 1/n. So have gamma variables of shape 1 - 1/n, once
    they are divided by the mean of n of them.
    """
    weights = np.ones((runs_in_all, 1 + resamples))
    if runs_each > 1:  # one alone has the weight 1
        weights[:, 1:] = np.random.default_rng(seed).gamma(1 - 1 / runs_each, size=(runs_in_all, resamples))
    return weights


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
