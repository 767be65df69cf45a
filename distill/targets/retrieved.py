"""retrieved: a sample's target mixes its own embedding with those of its nearest neighbours in the store.

Neighbours have the same label, are training samples, and show another part: the twin of a picture would only repeat it.
"""

import numpy as np

from distill.targets.policy import Policy, Positions, Targets, TrainingSet
from embedstore import Summary
from embedstore.errors import SettingsError
from embedstore.vectors import Vectors, unit_length

_READ = 4096  # vectors
_BYTES = 1 << 26  # of the cosines held at once


class Retrieved:
    """Own vector of the view, with weight alpha, and the weighted plain vectors of the neighbours.

    Args:
        training: the samples.
        neighbours: (n, k) positions; -1 where there are fewer.
        weights: (n, k) that add up to 1, or to 0 where a sample has no neighbour.
        alpha: weight of the own vector.
    """

    prototypes: Vectors | None = None

    def __init__(self, training: TrainingSet, neighbours: Positions, weights: Vectors, alpha: float):
        self._training, self._neighbours, self._weights, self._alpha = training, neighbours, weights, alpha
        self.dim = training.dim

    def targets(self, samples: Positions, views: Positions, step: int = 0) -> Targets:
        """Return the mixtures; a sample without neighbours keeps its own vector."""
        training = self._training
        own = unit_length(training.vectors(samples, views) - training.centre)
        weights, neighbours = self._weights[samples], self._neighbours[samples]
        wanted, inverse = np.unique(np.maximum(neighbours, 0), return_inverse=True)
        read = unit_length(training.vectors(wanted, np.zeros_like(wanted)) - training.centre)
        others = np.einsum("mk,mkd->md", weights, read[inverse.reshape(neighbours.shape)])
        mixed = unit_length(self._alpha * own + (1 - self._alpha) * others)
        alone = (weights.sum(axis=1) == 0) | (self._alpha == 1)
        mixed[alone] = own[alone]
        return Targets(mixed, np.ones(len(samples), bool))


def highest(values: Vectors, count: int) -> Positions:
    """Return the columns (m, up to count) of each row's highest values, the highest first; of equal ones the first.

    As a stable sort of (m, n) has it, in O(n) a row.
    """
    count = min(count, values.shape[1])
    kept = np.empty((len(values), count), np.int64)
    for row, line in enumerate(values):
        least = np.partition(line, -count)[-count]
        above = np.flatnonzero(line > least)
        kept[row] = np.sort(np.concatenate([above, np.flatnonzero(line == least)[: count - len(above)]]))
    order = np.argsort(-np.take_along_axis(values, kept, axis=1), axis=1, kind="stable")
    return np.take_along_axis(kept, order, axis=1)


def fit(
    training: TrainingSet,
    summary: Summary | None,
    seed: int,
    *,
    alpha: float = 0.5,
    neighbours: int = 10,
    temperature: float = 0.1,
) -> Policy:
    """Look up each sample's neighbours, once, by the cosine between centred plain vectors.

    Args:
        training: n samples.
        summary: none is needed.
        seed: nothing is drawn.
        alpha: weight of the own vector, 0 to 1; 1 is `own`.
        neighbours: how many.
        temperature: of the softmax over their cosines.

    Raises:
        SettingsError: a parameter is out of range.
    """
    if not 0 <= alpha <= 1:
        raise SettingsError(f"The weight alpha of a picture's own vector is {alpha}; expected 0 to 1.")
    if neighbours < 1:
        raise SettingsError(f"The number of neighbours is {neighbours}; expected 1 or more.")
    if not 0 < temperature < np.inf:
        raise SettingsError(f"The temperature of the neighbours is {temperature}; expected a number above 0.")
    found = np.full((len(training), neighbours), -1, np.int64)
    weights = np.zeros((len(training), neighbours), np.float32)
    for label, members in training.members.items():
        if label is None:  # nobody knows which of them are alike
            continue
        numbers: dict[str, int] = {}
        groups = np.array([numbers.setdefault(training.groups[at], len(numbers)) for at in members], np.int32)
        rows = max(1, _BYTES // (4 * len(members)))
        points = np.empty((len(members), training.dim), np.float32)
        for start in range(0, len(members), _READ):
            part = slice(start, start + _READ)
            plain = training.vectors(members[part], np.zeros_like(members[part]))
            points[part] = unit_length(plain - training.centre)
        for start in range(0, len(members), rows):
            part = slice(start, start + rows)
            cosine = points[part] @ points.T
            cosine[groups[part][:, None] == groups[None, :]] = -np.inf
            order = highest(cosine, neighbours)
            near = np.take_along_axis(cosine, order, axis=1).astype(np.float64)
            with np.errstate(invalid="ignore"):  # no neighbour at all: -inf - -inf
                shares = np.where(np.isfinite(near), np.exp((near - near[:, :1]) / temperature), 0)
            total = shares.sum(axis=1, keepdims=True)
            shares = np.divide(shares, total, out=np.zeros_like(shares), where=total > 0)
            found[members[part], : order.shape[1]] = np.where(np.isfinite(near), members[order], -1)
            weights[members[part], : order.shape[1]] = shares
    return Retrieved(training, found, weights, alpha)
