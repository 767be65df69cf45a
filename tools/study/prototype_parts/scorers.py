"""What is kept of a training side, its bytes, and the score that it gives: higher means more likely a defect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from embedstore.summaries.strategy import directions
from embedstore.vectors import Vectors, unit_length
from prototype_parts.pictures import Side

Scores = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Made = tuple[Vectors, list[str]]  # prototypes (k, d) in the space of stored vectors, and their labels
Make = Callable[[Side, int], Made]  # (side, seed)


class Scorer(Protocol):
    """Anything that scores held-out pictures."""

    @property
    def nbytes(self) -> int:
        """Bytes kept."""

    @property
    def count(self) -> int:
        """Vectors kept."""

    def scores(self, vectors: Vectors) -> Scores:
        """Score pictures (m, d) by their stored vectors."""


@dataclass(frozen=True)
class Nearest:
    """The protocol's score: the cosine to the nearest prototype of a defect minus that to the nearest of a good part.

    Attributes:
        points: (k, d) the prototypes' centred directions.
        of_good: (k,) which are of good parts.
        centre: (d,) taken off before directions are compared.
        nbytes: of prototypes, labels and centre.
        softness: 0 takes the nearest; above 0, all speak, each weighing exp(cosine / softness).
    """

    points: Vectors
    of_good: Flags
    centre: Vectors
    nbytes: int
    softness: float = 0.0

    @property
    def count(self) -> int:
        """How many prototypes."""
        return len(self.points)

    def scores(self, vectors: Vectors) -> Scores:
        """Return the differences of cosines (m,)."""
        cosine = (directions(vectors, self.centre) @ self.points.T).astype(np.float64)
        return self._best(cosine[:, ~self.of_good]) - self._best(cosine[:, self.of_good])

    def _best(self, cosine: Scores) -> Scores:
        top: Scores = cosine.max(axis=1)
        if not self.softness:
            return top
        mass = np.exp((cosine - top[:, None]) / self.softness).sum(axis=1)
        return np.asarray(top + self.softness * np.log(mass), np.float64)


@dataclass(frozen=True)
class Linear:
    """A linear probe's logit, but for its constant.

    Attributes:
        weights: (d,) for centred directions.
        centre: (d,).
        count, nbytes: of what the probe was fitted to, or of its weights where only those are kept.
    """

    weights: Vectors
    centre: Vectors
    count: int
    nbytes: int

    def scores(self, vectors: Vectors) -> Scores:
        """Return the weighted sums (m,)."""
        return (directions(vectors, self.centre) @ self.weights).astype(np.float64)


def centre_bytes(dim: int) -> int:
    """Return the bytes of a centre (d,) as float16."""
    return 2 * dim


def prototype_bytes(dim: int) -> int:
    """Return the bytes of a prototype: d numbers as float16, and a byte for its label."""
    return 2 * dim + 1


def budget(count: int, dim: int) -> int:
    """Return the bytes of so many prototypes and the centre."""
    return centre_bytes(dim) + count * prototype_bytes(dim)


def nearest(side: Side, seed: int, *, make: Make, softness: float = 0.0) -> Nearest:
    """Make prototypes and keep them as float16."""
    vectors, labels = make(side, seed)
    kept = vectors.astype(np.float16).astype(np.float32)
    points = directions(kept, side.centre)
    return Nearest(points, of_good(side, labels), side.centre, budget(len(kept), side.training.dim), softness)


def decoded(side: Side, points: Vectors, labels: list[str], code_bytes: int) -> Nearest:
    """Return the score of prototypes of which codes are kept, and what those stand for: about (k, d) centred directions."""
    nbytes = centre_bytes(side.training.dim) + len(labels) + code_bytes
    return Nearest(unit_length(points), of_good(side, labels), side.centre, nbytes)


def of_good(side: Side, labels: list[str]) -> Flags:
    """Return which labels (k,) are that of good parts."""
    return np.array([label == side.good for label in labels], bool)
