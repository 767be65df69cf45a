"""Held-out scores, decisions at thresholds from the training side alone, and figures with intervals over parts."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.evaluation.metrics import OVERKILL_GRID, threshold_at_overkill
from distill.evaluation.resampling import Ranking, divide, rank, roc_areas
from embedstore.summaries.strategy import Positions
from embedstore.vectors import widened
from prototype_parts.pictures import Fold, Pictures
from prototype_parts.scorers import Scorer, Scores

Fit = Callable[..., Scorer]  # (side, seed) -> what is kept of it

AT = 0.05  # overkill at which single figures are told; one of the grid
FIGURES = (
    "recall", "macro_mode_recall", "worst_mode_recall", "mean_recall", "mean_macro_mode_recall", "overkill", "auroc",
)  # fmt: skip
_AT_ONCE = 500  # resamples


@dataclass(frozen=True)
class Held:
    """What a condition did with held-out pictures.

    Attributes:
        rejected: (grid, n) share of the seeds that reject each picture, at each overkill of `OVERKILL_GRID`.
        tested: (n,) which pictures were held out; all, but for parts that training could not do without.
        areas: of each fold: the tested positions and each seed's ranking.
        nbytes, count: of what was kept, the mean over folds and seeds.
        seeds: how many.
    """

    rejected: Scores
    tested: npt.NDArray[np.bool_]
    areas: list[tuple[Positions, list[Ranking]]]
    nbytes: float
    count: float
    seeds: int

    def caught(self) -> str:
        """Return which tested pictures are rejected at 5 % overkill by most seeds: a bit each in the order of ids, base64."""
        bits = self.rejected[OVERKILL_GRID.index(AT)] > 0.5
        return base64.b64encode(np.packbits(bits).tobytes()).decode()


def hold_out(pictures: Pictures, folds: Sequence[Fold], fit: Fit, seeds: Sequence[int]) -> Held:
    """Fit on training sides, score test sides, decide by thresholds from cross-fitted scores of the training side.

    For each fold and seed: the same is fitted on the rest of each inner fold and scores that inner fold's pictures, so that
    no score comes from a fit that saw the picture's part. The good ones' scores, pooled, give a threshold for each overkill
    of the grid. Nothing of a test side is seen before it is scored.
    """
    count = len(pictures.samples)
    rejected, tested = np.zeros((len(OVERKILL_GRID), count)), np.zeros(count, bool)
    areas, nbytes, counts = [], [], []
    for fold in folds:
        test = fold.outer.test
        tested[test] = True
        rankings = []
        for seed in seeds:
            scorer = fit(fold.outer.side, seed)
            scores = asked(pictures, scorer, test)
            inner = [(trial.test, asked(pictures, fit(trial.side, seed), trial.test)) for trial in fold.inner]
            good = np.concatenate([found[~pictures.defect[at]] for at, found in inner])
            for number, overkill in enumerate(OVERKILL_GRID):
                rejected[number, test] += (scores > threshold_at_overkill(good, overkill)) / len(seeds)
            rankings.append(rank(pictures.defect[test], scores))
            nbytes.append(scorer.nbytes)
            counts.append(scorer.count)
        areas.append((test, rankings))
    return Held(rejected, tested, areas, float(np.mean(nbytes)), float(np.mean(counts)), len(seeds))


def asked(pictures: Pictures, scorer: Scorer, at: Positions) -> Scores:
    """Return the scores (m,) of some pictures."""
    return scorer.scores(widened(pictures.vectors[at]))


@dataclass
class Resamples:
    """Tested parts drawn again within each outer fold, the same draws for every condition, so differences are paired.

    Decisions stay as they are: the intervals hold other parts of the same kind, not other training sides or thresholds.

    Attributes:
        pictures: all of them.
        folds: that test them.
        draws: how many.
        seed: of the draws.
    """

    pictures: Pictures
    folds: Sequence[Fold]
    draws: int
    seed: int = 0
    drawn: Scores = field(init=False)  # (parts, 1 + draws) how often; 1 in column 0, the sample itself

    def __post_init__(self) -> None:
        random = np.random.default_rng(self.seed)
        self.drawn = np.zeros((int(self.pictures.parts.max()) + 1, 1 + self.draws))
        self.drawn[:, 0] = 1
        for fold in self.folds:
            parts = np.unique(self.pictures.parts[fold.outer.test])
            for draw in range(1, 1 + self.draws):
                self.drawn[parts, draw] = np.bincount(
                    random.integers(len(parts), size=len(parts)), minlength=len(parts)
                )

    def figures(self, held: Held) -> dict[str, Scores]:
        """Return each figure, and each kind's recall under its name, (1 + draws,): the sample's, then the resamples'."""
        kinds, modes = self.pictures.kinds, self.pictures.modes
        shares = np.stack(
            [
                divide(self._sums(kind, held.rejected), self._sums(kind, held.tested[None]))
                for kind in range(1 + len(modes))
            ]
        )  # (kinds, grid, 1 + draws)
        defects = np.flatnonzero(kinds)
        recall = divide(self._sum(defects, held.rejected), self._sum(defects, held.tested[None]))
        macro = _known_mean(shares[1:])  # where a resample lacks a kind, over the others
        at = OVERKILL_GRID.index(AT)
        return {
            "recall": recall[at],
            "macro_mode_recall": macro[at],
            "worst_mode_recall": np.fmin.reduce(shares[1:, at]),
            "mean_recall": recall.mean(axis=0),
            "mean_macro_mode_recall": macro.mean(axis=0),
            "overkill": shares[0, at],
            "auroc": self._areas(held),
            **{mode: shares[number, at] for number, mode in enumerate(modes, start=1)},
        }

    def _sums(self, kind: int, values: npt.NDArray[Any]) -> Scores:
        return self._sum(np.flatnonzero(self.pictures.kinds == kind), values)

    def _sum(self, at: Positions, values: npt.NDArray[Any]) -> Scores:
        """Sum values (grid, n) over some pictures as often as their parts are drawn, (grid, 1 + draws)."""
        parts, inside = np.unique(self.pictures.parts[at], return_inverse=True)
        sums = np.zeros((len(values), len(parts)))
        for row, line in zip(sums, values[:, at], strict=True):
            np.add.at(row, inside, line.astype(np.float64))
        found: Scores = sums @ self.drawn[parts]
        return found

    def _areas(self, held: Held) -> Scores:
        """Return the mean over folds and seeds of the AUROC; over the folds that have one where some have none."""
        found = []
        for test, rankings in held.areas:
            drawn = self.drawn[self.pictures.parts[test]]
            columns = range(0, 1 + self.draws, _AT_ONCE)
            of_seeds = [
                np.concatenate([roc_areas(one, drawn[:, start : start + _AT_ONCE]) for start in columns])
                for one in rankings
            ]
            found.append(np.mean(of_seeds, axis=0))
        return _known_mean(np.array(found))


def _known_mean(values: Scores) -> Scores:
    """Return the mean over the first axis of what is known; NaN where nothing is."""
    known = ~np.isnan(values)
    return divide(np.where(known, values, 0).sum(axis=0), known.sum(axis=0).astype(np.float64))
