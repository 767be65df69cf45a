"""Batch against reference: two or three tests with one false-alarm rate, and what can be measured of the difference.

`whole`: the energy distance (Székely and Rizzo, 2013) between the parts of batch and reference, within labels. It sees what moves
many pictures a little. `few`: how far the batch's pictures stand apart beyond what 95 of 100 pictures do, a mean over parts. It
sees what moves a few far. `light`: the energy distance of what `light` measures of the pictures themselves, where they are at
hand; a teacher is trained to overlook light. On magnetic tiles the first finds another focus in 50 pictures but no new kind of
defect at 5 % of 200; the second the other way round; the third finds pictures that are 30 % darker. Not better, or
with more false alarms than stated: MMD, the shift of the mean alone, counts of neighbours within the batch, sums over pictures
rather than parts, distances to prototypes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.analysis.drift.draws import (
    Codes,
    Masks,
    Numbers,
    between_parts,
    combined,
    contrasts,
    drawn_batches,
    quadratic,
    tail_shares,
)
from embedstore.analysis.drift.space import Space, neighbours_of, space_of
from embedstore.vectors import Vectors

APART = 0.95  # share of pictures that do not stand apart
OUTSIDE = 0.99  # share of pictures that are not outside of all that the store has
CLUSTERED = 0.95  # of the distance to the store's; magnetic tiles' strays are 1.01 of it apart, frayed ones .85
_ROUNDING = 1e-3  # of a spread: square roots of differences of float32
_FOLDS = 10  # of the batch's parts: of up to ten, each is judged by all others


@dataclass(frozen=True)
class Pool:
    """Reference and batch together, (n,) each, the reference first.

    Attributes:
        vectors: (n, d) at unit length.
        parts: the part of each, 0 to p - 1; none has pictures on both sides.
        labels: the label of the nearest prototype, of each.
        strata: the stratum of each, the same for all of a part.
        batch: which are the batch.
        known: whether the parts of the batch are known.
        lights: (n, 3) what `light` measures of each; None where pictures are not at hand.
    """

    vectors: Vectors
    parts: Codes
    labels: Codes
    strata: Codes
    batch: npt.NDArray[np.bool_]
    known: bool
    lights: Numbers | None = None


@dataclass(frozen=True)
class Common:
    """A common shift of the batch.

    Attributes:
        explained: share of the energy distance beyond chance that goes when the shift is taken off, 0 to 1.
        alike: share of the pictures that moved that way, by the shift of the batch's other parts; half of them by chance.
    """

    explained: float
    alike: float


@dataclass(frozen=True)
class Moved:
    """Mean and spread of the batch in one label, and where 95 of 100 drawn batches have them.

    Attributes:
        shift: distance between the two means, in the teacher's space; each part counts alike.
        usual_shift: that 95 of 100 drawn batches do not pass; None where they have none of the label.
        spread: of the batch around its mean, as a multiple of the reference's; None where that has one picture, or equal ones.
        usual_spread: between which 95 of 100 lie.
    """

    shift: float
    usual_shift: float | None
    spread: float | None
    usual_spread: tuple[float, float] | None


class Comparison:
    """The comparison of one pool; deterministic for a seed.

    Attributes:
        pool, space: what is compared.
        masks: (draws + 1, p) which parts are in the batch, which comes first, and in each drawn one.
        p: of all tests together.
        p_whole, p_few, p_light: of each by itself; `p_light` None where pictures are not at hand.
        outside: (n,) which pictures stand apart more than 99 of 100 of the reference do.
    """

    def __init__(self, pool: Pool, draws: int, seed: int):
        self.pool, self._draws, self._seed = pool, draws, seed
        self.space: Space = space_of(
            pool.vectors, pool.parts, neighbours_of(int(pool.batch.sum())), known=pool.known, seed=seed
        )
        self._sizes = np.bincount(pool.parts)
        self._first = np.unique(pool.parts, return_index=True)[1]  # a picture of each part
        self.masks: Masks = drawn_batches(pool.batch[self._first], pool.strata[self._first], draws, seed)
        self._guessed = self.masks[0] & (not pool.known)
        self._weights = contrasts(self.masks, pool.strata[self._first])
        self.energies = self._energies(self.space.distances)
        tests = [self.energies, self._excess()]
        if pool.lights is not None:
            spread = pool.lights.std(axis=0)
            self._lights = (pool.lights / np.where(spread > 0, spread, 1)).astype(np.float32)
            tests.append(self._energies(_distances(self._lights)))
        self.p, (self.p_whole, self.p_few, *more) = combined(tests)
        self.p_light = more[0] if more else None
        self.outside = self.space.apart > np.quantile(self.space.apart[~pool.batch], OUTSIDE)

    def _energies(self, distances: npt.NDArray[np.float32]) -> Numbers:
        """Return the energy distance of each drawn batch, of distances (n, n) between pictures."""
        return -quadratic(self._weights, between_parts(distances, self.pool.parts, self._guessed))

    def _excess(self) -> Numbers:
        """Return for each drawn batch how far its pictures stand apart beyond the usual: the mean of a part, over parts.

        So six pictures of one odd part say no more than one.
        """
        beyond = np.maximum(0, self.space.apart - np.quantile(self.space.apart, APART))
        excess: Numbers = (self.masks @ self._by_part(beyond)) / self.masks.sum(axis=1)
        return excess

    def _by_part(self, values: npt.NDArray[np.floating]) -> Numbers:
        """Return the mean over the pictures of each part, of values (n, ...) of the pictures."""
        sums = np.zeros((len(self._sizes), *values.shape[1:]))
        np.add.at(sums, self.pool.parts, values)
        return sums / self._sizes.reshape(-1, *[1] * (values.ndim - 1))

    def rest(self) -> float:
        """Return the p-value of `whole` without the batch's pictures that are outside; 1 where nothing is left."""
        kept = ~(self.pool.batch & self.outside)
        if not self.pool.batch[kept].any():
            return 1.0
        first, parts = np.unique(self.pool.parts[kept], return_index=True, return_inverse=True)[1:]
        batch, strata = self.pool.batch[kept][first], self.pool.strata[kept][first]
        masks = drawn_batches(batch, strata, self._draws, self._seed)
        guessed = batch & (not self.pool.known)
        between = between_parts(self.space.distances[np.ix_(kept, kept)], parts.reshape(-1), guessed)
        return float(tail_shares(-quadratic(contrasts(masks, strata), between))[0])

    def clustered(self) -> bool | None:
        """Return whether the batch's pictures outside lie nearer to each other than to the store's, on average over parts.

        None where they show one part only.
        """
        places = np.flatnonzero(self.pool.batch & self.outside)
        parts = self.pool.parts[places]
        others = parts[:, None] != parts[None, :]
        if not others.any():
            return None
        among = self.space.distances[np.ix_(places, places)][others].mean()
        return bool(among < CLUSTERED * self.space.distances[np.ix_(places, ~self.pool.batch)].mean())

    def common(self) -> Common:
        """Say how much of the difference in the teacher's space is one shift of all."""
        return self._common(self.pool.vectors, self.energies)

    def common_light(self) -> Common | None:
        """Say the same of the pictures themselves; None where they are not at hand."""
        return (
            None if self.pool.lights is None else self._common(self._lights, self._energies(_distances(self._lights)))
        )

    def light_shift(self) -> Numbers | None:
        """Return the difference (3,) between batch and reference in what `light` measures, within strata."""
        return None if self.pool.lights is None else self._weights[0] @ self._by_part(self.pool.lights)

    def _common(self, points: npt.NDArray[np.float32], energies: Numbers) -> Common:
        shift = (self._weights[0] @ self._by_part(points)).astype(np.float32)
        away = _distances(points - np.where(self.pool.batch[:, None], shift, 0))
        chance = float(energies[1:].mean())
        before = float(energies[0]) - chance
        after = -float(quadratic(self._weights[:1], between_parts(away, self.pool.parts, self._guessed))[0]) - chance
        explained = min(1.0, max(0.0, 1 - max(0.0, after) / before)) if before > 0 else 0.0
        return Common(explained, self._alike(points))

    def _alike(self, points: npt.NDArray[np.float32]) -> float:
        """Return the share of the batch's pictures that moved as the batch's other parts say; see `Common`."""
        pool, ahead, means = self.pool, list[bool](), self._by_part(points)
        ours, strata = self.masks[0], pool.strata[self._first]
        places = np.flatnonzero(ours)
        for one in range(min(_FOLDS, len(places))):
            judged = np.isin(np.arange(len(ours)), places[one::_FOLDS])
            others = ours & ~judged
            if not others.any():
                return 1.0
            weights = contrasts(others[~judged][None], strata[~judged])[0]
            along = points @ (weights @ means[~judged])
            for at in np.flatnonzero(judged[pool.parts]):
                same = ~pool.batch & (pool.strata == pool.strata[at])
                ahead.append(bool(along[at] > np.median(along[same if same.any() else ~pool.batch])))
        return float(np.mean(ahead))

    def moved(self, label: int) -> Moved | None:
        """Return how mean and spread of one label changed; None where batch or reference has none of it."""
        own = np.flatnonzero(self.pool.labels == label)
        shown, parts = np.unique(self.pool.parts[own], return_inverse=True)
        inside = self.masks[:, shown].astype(np.float32)
        taken, left = inside.sum(axis=1), (1 - inside).sum(axis=1)
        if not len(own) or not taken[0] or not left[0]:
            return None
        means = np.zeros((len(shown), self.pool.vectors.shape[1]), np.float32)
        np.add.at(means, parts.reshape(-1), self.pool.vectors[own])
        means /= np.bincount(parts.reshape(-1))[:, None]
        fair = (taken > 0) & (left > 0)
        first, second = inside[fair] / taken[fair, None], (1 - inside[fair]) / left[fair, None]
        products = means @ means.T
        shift = np.sqrt(np.maximum(0, quadratic(first - second, products)))
        ours, theirs = (np.sqrt(np.maximum(0, 1 - quadratic(one, products))) for one in (first, second))
        seen = theirs > _ROUNDING  # one picture alone has no spread
        known, usual = bool(seen[0]), ours[1:][seen[1:]] / theirs[1:][seen[1:]]
        low, high = np.quantile(usual, [0.025, 0.975]) if len(usual) else (0.0, 0.0)
        return Moved(
            float(shift[0]),
            float(np.quantile(shift[1:], 0.95)) if len(shift) > 1 else None,
            float(ours[0] / theirs[0]) if known else None,
            (float(low), float(high)) if known and len(usual) else None,
        )

    def p_mix(self) -> float:
        """Return the p-value of the batch's mix of labels: how often a draw of any parts differs as much from the whole."""
        ours = self.masks[0]
        masks = drawn_batches(ours, np.zeros(len(ours), np.int64), self._draws, self._seed)
        known = np.unique(self.pool.labels)
        each = self._by_part((self.pool.labels[:, None] == known[None, :]).astype(np.float64))
        shares, usual = (masks @ each) / masks.sum(axis=1, keepdims=True), each.mean(axis=0)
        return float(tail_shares(((shares - usual) ** 2 / usual).sum(axis=1))[0])


def _distances(points: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    lengths = (points * points).sum(axis=1)
    squares = np.maximum(0, lengths[:, None] + lengths[None, :] - 2 * (points @ points.T))
    np.fill_diagonal(squares, 0)
    distances: npt.NDArray[np.float32] = np.sqrt(squares).astype(np.float32)
    return distances
