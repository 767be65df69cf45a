"""Maps from one teacher's space into another's, fitted on samples that both have embedded, with the error of held-out parts.

Both move the mean of the old vectors to that of the new ones and are linear about it. `orthogonal` turns and stretches all
directions alike, so that it keeps angles (Schönemann, 1966, "A generalized solution of the orthogonal Procrustes problem").
`linear` is ridge regression (Hoerl and Kennard, 1970, "Ridge regression: biased estimation for nonorthogonal problems"), which
can leave out what the new teacher does not see. Directions that no sample has go to the mean, for nothing is known of them.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.errors import StoreError
from embedstore.vectors import Vectors

Numbers = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]

STRENGTHS = (0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)  # of the ridge, in means of the old vectors' variances
FOLDS = 5  # into which groups are dealt, each held out once
MOST = 20_000  # samples that a map is fitted on; more would hardly change it


@dataclass(frozen=True)
class SpaceMap:
    """A map of vectors (n, d) into the space of another teacher, (n, e).

    Attributes:
        kind: a key of `MAPS`.
        before: (d,) mean of the old vectors.
        after: (e,) mean of the new ones.
        matrix: (d, e).
        strength: of the ridge, see `STRENGTHS`; None where the kind has none.
    """

    kind: str
    before: Numbers
    after: Numbers
    matrix: Numbers
    strength: float | None = None

    def __call__(self, vectors: npt.ArrayLike) -> Vectors:
        """Return where vectors (n, d) lie in the new space (n, e); their length is not 1."""
        return np.asarray(self.after + self.turned(np.asarray(vectors, np.float64) - self.before), np.float32)

    def turned(self, differences: npt.ArrayLike) -> Numbers:
        """Return differences between vectors (..., d) as they are in the new space (..., e)."""
        return np.asarray(np.asarray(differences, np.float64) @ self.matrix, np.float64)


@dataclass(frozen=True)
class FittedMap:
    """A map and what it is worth, measured on parts that it was not fitted to.

    Attributes:
        map: fitted to all samples.
        folds: maps fitted to all samples but some, and the places of these.
        groups: how many parts the samples show.
        cosines: (n,) of each sample's mapped old vector, by the map that did not see its part, with its new one.
        cosines_of_mean: (n,) the same where the mean of the new vectors is said of every sample: what a map must exceed.
    """

    map: SpaceMap
    folds: list[tuple[SpaceMap, Positions]]
    groups: int
    cosines: Numbers
    cosines_of_mean: Numbers


def fit_map(kind: str, old: npt.ArrayLike, new: npt.ArrayLike, groups: Sequence[str]) -> FittedMap:
    """Fit a map to samples that both teachers have embedded, and measure it on held-out groups.

    The groups are dealt into five folds by a hash of their names. The strength of a ridge is the one with the least squared
    error on held-out folds; that of the map which a fold is measured with was chosen by the errors of the other folds alone.

    Args:
        kind: a key of `MAPS`.
        old: vectors (n, d) of the one teacher.
        new: vectors (n, e) of the other.
        groups: the part that each sample shows, (n,).

    Raises:
        StoreError: they are of fewer than five groups.
    """
    x, y = np.asarray(old, np.float64), np.asarray(new, np.float64)
    names = sorted(set(groups), key=lambda name: hashlib.blake2b(name.encode(), person=b"space map").digest())
    if len(names) < FOLDS:
        raise StoreError(
            f"A map is fitted to samples of {FOLDS} parts or more that both teachers have embedded, but there are {len(names)}; "
            "embed more of them first (--sample)."
        )
    fold_of = {name: at % FOLDS for at, name in enumerate(names)}
    fold = np.array([fold_of[group] for group in groups])
    dealt = [(np.flatnonzero(fold != one), np.flatnonzero(fold == one)) for one in range(FOLDS)]
    solvers = [MAPS[kind](x[train], y[train]) for train, _ in dealt]
    strengths = solvers[0].strengths
    errors = np.array(
        [
            [float(np.square(solver.map(one)(x[held]) - y[held]).sum()) for one in strengths]
            for solver, (_, held) in zip(solvers, dealt, strict=True)
        ]
    )
    folds, cosines, of_mean = [], np.empty(len(x)), np.empty(len(x))
    for one, (solver, (_, held)) in enumerate(zip(solvers, dealt, strict=True)):
        fitted = solver.map(strengths[int(np.delete(errors, one, axis=0).sum(axis=0).argmin())])
        folds.append((fitted, held))
        cosines[held] = _cosines(fitted(x[held]), y[held])
        of_mean[held] = _cosines(np.broadcast_to(fitted.after, y[held].shape), y[held])
    best = strengths[int(errors.sum(axis=0).argmin())]
    return FittedMap(MAPS[kind](x, y).map(best), folds, len(names), cosines, of_mean)


class _Solver(ABC):
    """What all maps of one kind to some samples share.

    Attributes:
        strengths: to choose from; None alone where the kind has none.
    """

    strengths: tuple[float | None, ...] = (None,)

    def __init__(self, x: Numbers, y: Numbers):
        self._before, self._after = x.mean(axis=0), y.mean(axis=0)
        self._x, self._y = x - self._before, y - self._after

    @abstractmethod
    def map(self, strength: float | None) -> SpaceMap:
        """Fit one map."""


class _Orthogonal(_Solver):
    def map(self, strength: float | None) -> SpaceMap:
        # The singular vectors of x'y; of few samples by way of their span, which is far smaller.
        left, right = np.eye(self._x.shape[1]), np.eye(self._y.shape[1])
        x, y = self._x.T, self._y.T
        if len(self._x) < min(len(left), len(right)):
            left, x = np.linalg.qr(x)
            right, y = np.linalg.qr(y)
        u, lengths, v = np.linalg.svd(x @ y.T, full_matrices=False)
        known = lengths > lengths.max(initial=0) * max(len(u), len(v)) * np.finfo(np.float64).eps
        turn = (left @ u[:, known]) @ (v[known] @ right.T)
        moved = float(np.square(self._x @ (left @ u[:, known])).sum())
        stretch = float(lengths[known].sum()) / moved if moved else 0.0
        return SpaceMap("orthogonal", self._before, self._after, stretch * turn, strength)


class _Linear(_Solver):
    strengths = STRENGTHS

    def __init__(self, x: Numbers, y: Numbers):
        super().__init__(x, y)
        self._unit = max(float(np.square(self._x).sum()) / self._x.shape[1], np.finfo(np.float64).tiny)
        self._few = len(x) < x.shape[1]
        squares = self._x @ self._x.T if self._few else self._x.T @ self._x
        values, self._axes = np.linalg.eigh(squares)
        self._values = np.maximum(values, 0)
        self._targets = self._axes.T @ (self._y if self._few else self._x.T @ self._y)

    def map(self, strength: float | None) -> SpaceMap:
        assert strength is not None  # noqa: S101  one of STRENGTHS
        matrix = self._axes @ (self._targets / (self._values + strength * self._unit)[:, None])
        return SpaceMap("linear", self._before, self._after, self._x.T @ matrix if self._few else matrix, strength)


MAPS: dict[str, Callable[[Numbers, Numbers], _Solver]] = {"orthogonal": _Orthogonal, "linear": _Linear}


def _cosines(a: npt.ArrayLike, b: npt.ArrayLike) -> Numbers:
    """Return the cosines (n,) between rows; 0 where one has no length."""
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    found: Numbers = np.divide((x * y).sum(axis=1), lengths, out=np.zeros(len(x)), where=lengths > 0)
    return found
