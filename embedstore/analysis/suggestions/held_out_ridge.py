"""What the pictures of other parts say of a sample: a ridge classifier that learns from all of them, and not from its part.

It is the least-squares fit of the labels (one column each, 0 or 1) by the vectors, with a penalty on the weights. Leaving a
part out needs no second fit. With the hat matrix H of the fit, the residuals of a part p that is left out are
(I - H_pp)^-1 (y_p - fit_p), exactly (Allen, The relationship between variable selection and data augmentation and a method
for prediction, 1974, for one sample; blocks alike). So nothing is drawn, and no picture of a part vouches for another.

Leaving a part out takes its labels out of their frequencies, too, so a label would be rarer just where it is judged: the
larger the part and the fewer samples, the more. That says nothing of the pictures, so scores keep the frequencies of all.

The penalty is the largest whose error on what was left out is within one standard error of the least (Breiman et al.,
Classification and Regression Trees, 1984): the smoother of two fits that are alike believes a wrong label less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]

# Penalties to choose from, in means of the variances along all directions.
PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)

_ROWS = 4_096  # samples at once
_ROUNDING = 2.0**-48  # of a direction's square: below it, variance is rounding


def leave_part_out_scores(
    vectors_at: Callable[[Positions], Numbers], classes: Positions, parts: Positions
) -> tuple[npt.NDArray[np.float32], float]:
    """Score each of n samples by a fit to all samples of other parts.

    Up to five passes over the vectors, blockwise: beside the scores, (d, d) numbers and a few blocks of some thousand
    samples are in memory, however large a part is.

    Args:
        vectors_at: returns the vectors (m, d) at some of the places 0 to n - 1.
        classes: (n,) the class of each, a number from 0.
        parts: (n,) a number for the part that each shows; two or more.

    Returns:
        The scores (n, classes): how much speaks for each class, about 0 to 1, and near 1 in sum, but no probabilities; what
        says nothing, as equal vectors do, scores the frequencies of all. And the penalty, the one of `PENALTIES` that was chosen.
    """
    fit = _Fit(vectors_at, classes, parts)
    errors = np.empty((len(PENALTIES), len(classes)))
    for at, found in fit.left_out(PENALTIES):
        targets = fit.targets(at)
        for number, scores in enumerate(found):
            errors[number, at] = ((scores - targets) ** 2).sum(axis=1)
    means = errors.mean(axis=1)
    best = int(means.argmin())
    bound = means[best] + errors[best].std() / np.sqrt(len(classes))
    penalty = PENALTIES[int(np.flatnonzero(means <= bound).max())]
    result = np.empty((len(classes), fit.classes), np.float32)
    missing = fit.missing_frequencies()
    for at, (scores,) in fit.left_out((penalty,)):
        result[at] = scores + missing[at]
    return result, penalty


class _Fit:
    """The fit to all samples in the coordinates in which its squares are diagonal, for every penalty at once."""

    def __init__(self, vectors_at: Callable[[Positions], Numbers], classes: Positions, parts: Positions):
        self._vectors_at, self._of, self._parts = vectors_at, classes, parts
        count, self.classes = len(classes), int(classes.max()) + 1
        dim = vectors_at(np.zeros(1, np.int64)).shape[1]
        total, products, sums = np.zeros(dim), np.zeros((dim, dim)), np.zeros((self.classes, dim))
        for at in _blocks(np.arange(count)):
            vectors = vectors_at(at)
            total += vectors.sum(axis=0)
            products += vectors.T @ vectors
            sums += self.targets(at).T @ vectors
        self._mean = total / count
        variance, self._axes = np.linalg.eigh(products - count * np.outer(self._mean, self._mean))
        sizes = np.bincount(classes, minlength=self.classes)
        self._variance = np.maximum(variance, 0)
        self._unit = max(float(self._variance.mean()), count * _ROUNDING)
        # A last coordinate of ones, without a penalty, is the intercept: the others are centred, so it stands apart.
        self._moments = np.vstack([self._axes.T @ (sums - np.outer(sizes, self._mean)).T, sizes[None]])

    def left_out(self, penalties: tuple[float, ...]) -> Iterator[tuple[Positions, list[Numbers]]]:
        """Yield places (m,), and for each penalty their scores (m, classes) from other parts."""
        squares = [np.append(self._variance + penalty * self._unit, float(len(self._of))) for penalty in penalties]
        for places in self._equal_parts():
            if places.shape[1] > len(self._moments):
                yield from self._large_part(places[0], squares)
                continue
            at = places.reshape(-1)
            rows, targets = self._rows(at), self.targets(at)
            shaped = rows.reshape(*places.shape, -1)
            found = []
            for square in squares:
                hat = (shaped / square) @ shaped.transpose(0, 2, 1)
                residuals = (targets - rows @ (self._moments / square[:, None])).reshape(*places.shape, -1)
                apart = np.linalg.solve(np.eye(places.shape[1]) - hat, residuals)
                found.append(targets - apart.reshape(len(at), -1))
            yield at, found

    def _large_part(self, part: Positions, squares: list[Numbers]) -> Iterator[tuple[Positions, list[Numbers]]]:
        """Do the same for a part of more samples than coordinates: its share of the squares is less than its hat matrix."""
        products, moments = np.zeros((len(self._moments),) * 2), self._moments.copy()
        for at in _blocks(part):
            rows = self._rows(at)
            products += rows.T @ rows
            moments -= rows.T @ self.targets(at)
        weights = [np.linalg.solve(np.diag(square) - products, moments) for square in squares]
        for at in _blocks(part):
            rows = self._rows(at)
            yield at, [rows @ one for one in weights]

    def missing_frequencies(self) -> Numbers:
        """Return by how much each class (n, classes) is more frequent among all than among the other parts' samples.

        The fit without a part predicts the mean of its targets at the mean of its vectors, so that is what the intercept lacks.
        """
        counts, part = np.bincount(self._of, minlength=self.classes), np.unique(self._parts, return_inverse=True)[1]
        of_part = np.zeros((int(part.max()) + 1, self.classes))
        np.add.at(of_part, (part, self._of), 1)
        others = counts - of_part
        missing: Numbers = (counts / counts.sum() - others / others.sum(axis=1, keepdims=True))[part]
        return missing

    def targets(self, at: Positions) -> Numbers:
        """Return what is fitted to: (m, classes), 1 for the class of each."""
        targets = np.zeros((len(at), self.classes))
        targets[np.arange(len(at)), self._of[at]] = 1
        return targets

    def _rows(self, at: Positions) -> Numbers:
        return np.hstack([(self._vectors_at(at) - self._mean) @ self._axes, np.ones((len(at), 1))])

    def _equal_parts(self) -> Iterator[Positions]:
        """Yield places (k, s) of k parts of s samples each, some thousand samples at a time, or one larger part."""
        _, part, sizes = np.unique(self._parts, return_inverse=True, return_counts=True)
        order = np.lexsort((part, sizes[part]))
        for size in np.unique(sizes):
            places = order[sizes[part[order]] == size].reshape(-1, size)
            step = 1 if size > len(self._moments) else max(1, _ROWS // int(size))
            for start in range(0, len(places), step):
                yield places[start : start + step]


def _blocks(places: Positions) -> Iterator[Positions]:
    for start in range(0, len(places), _ROWS):
        yield places[start : start + _ROWS]
