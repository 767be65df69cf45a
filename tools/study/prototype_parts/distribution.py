"""class-distribution as a scorer: the likelihood of normal distributions of low rank, around a mean or several prototypes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.vectors import Vectors, squared_distances
from prototype_parts.pictures import Side
from prototype_parts.scorers import Make, Scores, prototype_bytes
from prototype_parts.sizes import divided

Floats = npt.NDArray[np.floating]

SHRINKAGE = 0.1  # of each covariance towards one that is the same in all directions


@dataclass(frozen=True)
class Spread:
    """One label's samples as normal distributions around some means, all of the same covariance.

    Along the axes the variance is what they say; across them it is even, what they leave over (Tipping and Bishop 1999);
    and all of it is shrunk towards an even one (as Ledoit and Wolf 2004, but by a fixed share).

    Attributes:
        means: (k, d).
        axes: (r, d), square to each other, each as long as the standard deviation along it.
        total: the variance summed over dimensions.
        shrinkage: share of the even covariance.
    """

    means: Vectors
    axes: Vectors
    total: float
    shrinkage: float

    def likelihood(self, vectors: Vectors) -> Scores:
        """Return the log-likelihood (m,) of vectors (m, d) around the mean that suits each best, but for a constant."""
        dim, axes = self.means.shape[1], self.axes.astype(np.float64)
        variance = (axes**2).sum(axis=1)
        even = self.total / dim
        left = max(self.total - variance.sum(), 0.01 * self.total) / max(1, dim - len(axes))
        along = (1 - self.shrinkage) * variance + self.shrinkage * even
        across = (1 - self.shrinkage) * left + self.shrinkage * even
        towards = axes / np.sqrt(variance)[:, None]
        best = np.full(len(vectors), -np.inf)
        for mean in self.means:
            off = vectors.astype(np.float64) - mean
            squares = (off @ towards.T) ** 2
            rest = np.maximum((off**2).sum(axis=1) - squares.sum(axis=1), 0)
            best = np.maximum(best, -((squares / along).sum(axis=1) + rest / across) / 2)
        return np.asarray(best - (np.log(along).sum() + (dim - len(axes)) * np.log(across)) / 2, np.float64)


@dataclass(frozen=True)
class Normal:
    """The log-likelihood of the likeliest label of defects minus that of good; the latter alone where no defect is kept.

    Attributes:
        good: the label of good parts.
        spreads: of each label.
        count: how many means and axes are kept; axes that all labels share are kept once.
    """

    good: str
    spreads: dict[str, Spread]
    count: int

    @property
    def nbytes(self) -> int:
        """Of means, axes and each label's variance; no centre is needed."""
        dim = self.spreads[self.good].means.shape[1]
        return self.count * prototype_bytes(dim) + 2 * len(self.spreads)

    def scores(self, vectors: Vectors) -> Scores:
        """Return the differences of log-likelihoods (m,)."""
        of_good = self.spreads[self.good].likelihood(vectors)
        others = [spread.likelihood(vectors) for label, spread in self.spreads.items() if label != self.good]
        return np.asarray(np.max(others, axis=0) - of_good if others else -of_good, np.float64)


def class_distribution(
    side: Side, seed: int, *, count: int, rule: str = "equal", shrinkage: float = SHRINKAGE
) -> Normal:
    """Take each label's mean and axes, as the strategy `class-distribution` does, so many vectors in all."""
    number = divided(count, side.sizes, rule, side.good)
    spreads = {
        label: _spread(of, of.mean(axis=0)[None], number[label] - 1, shrinkage) for label, of in _by_label(side).items()
    }
    return Normal(side.good, spreads, sum(1 + len(one.axes) for one in spreads.values()))


def good_distribution(side: Side, seed: int, *, count: int) -> Normal:
    """Take the mean and axes of good parts alone: what knowing defects is worth is told by what this lacks."""
    samples = _by_label(side)[side.good]
    spread = _spread(samples, samples.mean(axis=0)[None], count - 1, SHRINKAGE)
    return Normal(side.good, {side.good: spread}, 1 + len(spread.axes))


def shared_axes(side: Side, seed: int, *, count: int) -> Normal:
    """Take each label's mean, and one set of axes for all, those of the spread within labels; so the score is linear."""
    by_label = _by_label(side)
    means = {label: of.mean(axis=0) for label, of in by_label.items()}
    within = np.concatenate([of - means[label] for label, of in by_label.items()])
    axes, total = _axes(within, len(means), count - len(means))
    spreads = {label: Spread(_kept(mean[None]), axes, total, SHRINKAGE) for label, mean in means.items()}
    return Normal(side.good, spreads, len(means) + len(axes))


def around_prototypes(side: Side, seed: int, *, make: Make, rank: int) -> Normal:
    """Take prototypes, and of each label the axes along which its samples vary around the prototype nearest to each."""
    vectors, labels = make(side, seed)
    spreads = {
        label: _spread(of, vectors[np.array([one == label for one in labels], bool)], rank, SHRINKAGE)
        for label, of in _by_label(side).items()
    }
    return Normal(side.good, spreads, sum(len(one.means) + len(one.axes) for one in spreads.values()))


def _by_label(side: Side) -> dict[str, Scores]:
    vectors = side.training.read(np.arange(len(side.samples))).astype(np.float64)
    return {label: vectors[members] for label, members in side.training.members.items()}


def _spread(samples: Scores, means: Floats, rank: int, shrinkage: float) -> Spread:
    """Return means (k, d), and up to `rank` axes of how samples (n, d) differ from the mean nearest to each."""
    off = samples - means[squared_distances(samples, means).argmin(axis=1)]
    axes, total = _axes(off, len(means), rank)
    return Spread(_kept(means), axes, total, shrinkage)


def _axes(off: Scores, means: int, rank: int) -> tuple[Vectors, float]:
    """Return up to `rank` principal axes (r, d) of differences (n, d) to so many means, and their variance in all."""
    free = max(1, len(off) - means)
    _, lengths, directions = np.linalg.svd(off, full_matrices=False)
    some = min(rank, free, int((lengths > 1e-6 * lengths[0]).sum()))
    return _kept(directions[:some] * (lengths[:some, None] / np.sqrt(free))), float((off**2).sum() / free)


def _kept(vectors: Floats) -> Vectors:
    """Return vectors as float16 keeps them."""
    return vectors.astype(np.float16).astype(np.float32)
