"""Summaries read by a probe that is fitted to them alone: what they still hold, whatever the nearest prototype says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from embedstore.summaries.strategy import directions
from embedstore.vectors import Vectors
from prototype_parts.distribution import class_distribution
from prototype_parts.pictures import Side
from prototype_parts.probe import fitted_probe
from prototype_parts.scorers import Flags, Linear, Nearest, Scores, centre_bytes

DRAWN = 500  # samples from each label's distribution


def probe(side: Side, seed: int) -> Linear:
    """Fit a linear probe to every sample and keep its weights alone."""
    return _linear(side, side.points, side.defect, np.ones(len(side.samples)), 1, 2 * side.training.dim)


def probe_of_prototypes(side: Side, seed: int, *, fit: Callable[[Side, int], Nearest]) -> Linear:
    """Fit it to prototypes, each weighing as many samples as it is the nearest to on its side, good or defect.

    Those numbers are kept beside the prototypes, two bytes each.
    """
    found = fit(side, seed)
    counts = np.zeros(found.count)
    for of_side, samples in ((found.of_good, ~side.defect), (~found.of_good, side.defect)):
        nearest = (side.points[samples] @ found.points[of_side].T).argmax(axis=1)
        counts[of_side] = np.bincount(nearest, minlength=int(of_side.sum()))
    nbytes = found.nbytes - centre_bytes(side.training.dim) + 2 * found.count
    return _linear(side, found.points, ~found.of_good, counts, found.count, nbytes)


def probe_of_distribution(side: Side, seed: int, *, count: int) -> Linear:
    """Fit it to samples drawn from each label's distribution, a mean and some axes, as many of each label."""
    found = class_distribution(side, seed, count=count)
    random = np.random.default_rng(seed)
    drawn = [
        spread.means + random.standard_normal((DRAWN, len(spread.axes))).astype(np.float32) @ spread.axes
        for spread in found.spreads.values()
    ]
    points = directions(np.concatenate(drawn), side.centre)
    defect = np.repeat([label != side.good for label in found.spreads], DRAWN)
    return _linear(side, points, defect, np.ones(len(points)), found.count, found.nbytes)


def _linear(side: Side, points: Vectors, defect: Flags, weights: Scores, count: int, nbytes: int) -> Linear:  # noqa: PLR0917
    found = fitted_probe(points, defect, weights).coef_[0].astype(np.float32)
    return Linear(found, side.centre, count, centre_bytes(side.training.dim) + nbytes)
