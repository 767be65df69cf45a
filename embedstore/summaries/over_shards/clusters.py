"""Spherical k-means over shards, of all labels in the same passes: who is nearest to which centroid, summed, and again.

It starts from centroids that FAISS fits to a drawn part of each label. Which part hangs on the seed and the ids alone. From
then on every sample takes part in every pass, so a mode that the draw missed still pulls at a centroid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.summaries.kmeans import spherical_clusters
from embedstore.summaries.over_shards.shards import Numbers, Read, Shard, Shards
from embedstore.summaries.over_shards.sums import Sums, sums_by
from embedstore.summaries.strategy import TrainingVectors, directions
from embedstore.vectors import Vectors, exact_directions

STARTED_FROM = 256  # samples for each centroid, which is FAISS's own measure; fewer where a label has no more
STARTS = 3  # from other parts each, for a part may mislead; which of them is best all samples say
PASSES = 20  # at most; the first ones bring nearly all
SETTLED = 1e-4  # of what is lost (1 - mean cosine): a pass that takes off less than this share is the last
_NUMBERS = 500_000  # cosines at once: what a core keeps near
_START = b"k-means start"


@dataclass(frozen=True)
class Centroids:
    """Centroids of several labels, those of a label side by side.

    Attributes:
        centre: (d,) is taken off before directions are compared.
        vectors: (k, d) of unit length, exact.
        first: (labels + 1,) those of label c are `first[c]` up to `first[c + 1]`; a label may have none.
        without: numbers of samples that take no part, ascending.
    """

    centre: Vectors
    vectors: npt.NDArray[np.float64]
    first: Numbers
    without: Numbers

    @property
    def wanted(self) -> npt.NDArray[np.bool_]:
        """Which labels (labels,) have some."""
        return np.diff(self.first) > 0

    def own(self, label: int) -> slice:
        """Return where those of a label are."""
        return slice(int(self.first[label]), int(self.first[label + 1]))

    def nearest(self, label: int, vectors: npt.NDArray[np.float16]) -> tuple[Numbers, Sums, Sums]:
        """Return which of the label's is nearest to each vector (m,), the cosine (m,) to it, and the directions (m, d)."""
        points = exact_directions(vectors.astype(np.float64) - self.centre)
        best, cosine = nearest_cosines(points, self.vectors[self.own(label)])
        return best, cosine, points


def nearest_cosines(
    points: npt.NDArray[np.float64], towards: npt.NDArray[np.float64]
) -> tuple[Numbers, npt.NDArray[np.float64]]:
    """Return which of some exact directions (k, d) is nearest to each of others (n, d), of equals the first, and the cosine."""
    best, cosine = np.empty(len(points), np.int64), np.empty(len(points))
    step = max(1, _NUMBERS // len(towards))
    for start in range(0, len(points), step):
        part = slice(start, start + step)
        cosines = points[part] @ towards.T
        best[part] = cosines.argmax(axis=1)
        cosine[part] = np.take_along_axis(cosines, best[part, None], axis=1)[:, 0]
    return best, cosine


@dataclass
class Assigned:
    """What a pass finds, of a shard or of all.

    Attributes:
        sums: (k, d) of the directions nearest to each centroid.
        counts: (k,) how many.
        cosine: (labels,) sum of the cosines to the nearest centroid, in multiples of 2^-24, so that it is exact.
        worst: (labels,) the smallest of these, which of equals the first by id has; infinite where a label has no sample.
        worst_number: (labels,) whose it is.
        worst_direction: (labels, d) its direction.
    """

    sums: Sums
    counts: Numbers
    cosine: Sums
    worst: Sums
    worst_number: Numbers
    worst_direction: Sums

    @classmethod
    def none(cls, k: int, labels: int, dim: int) -> Assigned:
        """Return what no sample gives."""
        worst, number = np.full(labels, np.inf), np.full(labels, np.iinfo(np.int64).max)
        return cls(np.zeros((k, dim)), np.zeros(k, np.int64), np.zeros(labels), worst, number, np.zeros((labels, dim)))

    def add(self, other: Assigned) -> None:
        """Take in what another shard gives."""
        self.sums += other.sums
        self.counts += other.counts
        self.cosine += other.cosine
        for label in range(len(self.worst)):
            self.take_worst(label, other.worst[label], other.worst_number[label], other.worst_direction[label])

    def take_worst(self, label: int, cosine: float, number: int, direction: Sums) -> None:
        """Keep a sample of a label where it is farther than the one that is kept."""
        if (cosine, number) < (self.worst[label], self.worst_number[label]):
            self.worst[label], self.worst_number[label] = cosine, number
            self.worst_direction[label] = direction


def assign(shard: Shard, read: Read, among: Centroids) -> Assigned:
    """Step: give each sample to its nearest centroid, and sum."""
    found = Assigned.none(len(among.vectors), len(among.first) - 1, len(among.centre))
    for label, at, vectors in shard.by_label(read, among.wanted, without=among.without):
        nearest, cosine, points = among.nearest(label, vectors)
        own = among.own(label)  # all centroids may be many times these
        found.sums[own] += sums_by(nearest, points, own.stop - own.start)
        found.counts[own] += np.bincount(nearest, minlength=own.stop - own.start)
        found.cosine[label] += np.round(cosine * 2**24).sum()
        worst = np.lexsort((shard.numbers[at], cosine))[0]
        found.take_worst(label, cosine[worst], int(shard.numbers[at[worst]]), points[worst])
    return found


@dataclass
class Clusters:
    """What k-means ends in.

    Attributes:
        means: (k, d) of each cluster's vectors.
        label: (k,) number of the label that it is of, ascending.
        part: (k,) the part that all of its members show; -1 where they show several.
    """

    means: Vectors
    label: Numbers
    part: Numbers


@dataclass
class Members:
    """What clusters are made of, in a shard or in all.

    Attributes:
        sums: (k, d) of the vectors in each cluster.
        counts: (k,) how many.
        low, high: (k,) the lowest and the highest part among them.
    """

    sums: Sums
    counts: Numbers
    low: Numbers
    high: Numbers

    @classmethod
    def none(cls, k: int, dim: int) -> Members:
        """Return what no sample gives."""
        return cls(
            np.zeros((k, dim)), np.zeros(k, np.int64), np.full(k, np.iinfo(np.int64).max), np.full(k, -1, np.int64)
        )

    def add(self, other: Members) -> None:
        """Take in what another shard gives."""
        self.sums += other.sums
        self.counts += other.counts
        np.minimum(self.low, other.low, out=self.low)
        np.maximum(self.high, other.high, out=self.high)


def gather_members(shard: Shard, read: Read, among: Centroids) -> Members:
    """Step: say what the cluster of each centroid is made of."""
    found = Members.none(len(among.vectors), len(among.centre))
    for label, at, vectors in shard.by_label(read, among.wanted, without=among.without):
        nearest, _, _ = among.nearest(label, vectors)
        own = among.own(label)
        found.sums[own] += sums_by(nearest, vectors, own.stop - own.start)
        found.counts[own] += np.bincount(nearest, minlength=own.stop - own.start)
        np.minimum.at(found.low[own], nearest, shard.parts[at])
        np.maximum.at(found.high[own], nearest, shard.parts[at])
    return found


@dataclass
class Nearest:
    """Of each cluster the member nearest to a point, in a shard or in all.

    Attributes:
        squares: (k,) its squared distance; infinite where there is no member.
        numbers: (k,) which it is; of equally near ones the first by id.
    """

    squares: Sums
    numbers: Numbers

    @classmethod
    def none(cls, k: int) -> Nearest:
        """Return what no sample gives."""
        return cls(np.full(k, np.inf), np.full(k, np.iinfo(np.int64).max))

    def add(self, other: Nearest) -> None:
        """Take in what another shard gives."""
        nearer = other.squares < self.squares
        nearer |= (other.squares == self.squares) & (other.numbers < self.numbers)
        self.squares[nearer], self.numbers[nearer] = other.squares[nearer], other.numbers[nearer]


def find_nearest(shard: Shard, read: Read, among: Centroids, middles: Sums) -> Nearest:
    """Step: find the member of each cluster whose direction is nearest to a point (k, d) of the cluster's."""
    found = Nearest.none(len(middles))
    for label, at, vectors in shard.by_label(read, among.wanted, without=among.without):
        cluster, _, points = among.nearest(label, vectors)
        own = among.own(label)
        squares = ((points - middles[own][cluster]) ** 2).sum(axis=1)
        order = np.lexsort((shard.numbers[at], squares))
        clusters, first = np.unique(cluster[order], return_index=True)
        part = Nearest.none(own.stop - own.start)
        part.squares[clusters], part.numbers[clusters] = squares[order[first]], shard.numbers[at[order[first]]]
        Nearest(found.squares[own], found.numbers[own]).add(part)
    return found


class KMeans:
    """k-means over the shards of some samples, for as many k as one likes.

    Args:
        training: the samples.
        shards: the same.
        seed: of the draw and of the start.
    """

    def __init__(self, training: TrainingVectors, shards: Shards, seed: int):
        self._training, self._shards, self._seed = training, shards, seed

    def clusters(self, k: Numbers, without: npt.NDArray[np.int64] | None = None) -> Clusters:
        """Cluster each label, and average what is in each cluster.

        Args:
            k: (labels,) clusters of each label, at most; 0 leaves it out.
            without: positions of samples that take no part.
        """
        return self._described(self._centroids(k, np.zeros(0, np.int64) if without is None else without))

    def medoids(self, k: Numbers) -> tuple[Clusters, npt.NDArray[np.int64]]:
        """Cluster each label; return the clusters, and the position of each one's member nearest to the middle of all members.

        Of equally near ones that is the first by id; the middle is the mean of their directions.
        """
        among = self._centroids(k, np.zeros(0, np.int64))
        total = self._assigned(among)
        middles = total.sums / np.maximum(total.counts, 1)[:, None]
        nearest = Nearest.none(len(middles))
        for part in self._shards.map("Medoids", find_nearest, among, middles):
            nearest.add(part)
        return self._described(among), self._shards.positions[nearest.numbers[total.counts > 0]]

    def _centroids(self, k: Numbers, left_out: npt.NDArray[np.int64]) -> Centroids:
        """Return where k-means of each label ends."""
        left = self._shards.counts.copy()
        for number, members in enumerate(self._training.members.values()):
            left[number] -= int(np.isin(members, left_out).sum()) if len(left_out) else 0
        wanted = np.where(left > 0, k, 0)
        numbers = self._shards.numbers(left_out)
        starts = [self._start(label, int(count), left_out, 0) for label, count in enumerate(wanted)]
        drawn = np.flatnonzero((wanted > 1) & (STARTED_FROM * wanted < left))  # of the others each start is from all
        if len(drawn):
            starts = self._best(starts, drawn, wanted, left_out, numbers)
        return _joined(self._training.centre, self._settled(starts, numbers), numbers)

    def _described(self, among: Centroids) -> Clusters:
        """Say what the cluster of each centroid is made of."""
        total = Members.none(len(among.vectors), self._training.dim)
        for part in self._shards.map("Clusters", gather_members, among):
            total.add(part)
        there = np.flatnonzero(total.counts)  # a centroid may have lost all to others in the last pass
        label_of = np.repeat(np.arange(len(among.first) - 1), np.diff(among.first))
        return Clusters(
            (total.sums[there] / total.counts[there, None]).astype(np.float32),
            label_of[there],
            np.where(total.low == total.high, total.low, -1)[there],
        )

    def _start(self, label: int, k: int, without: npt.NDArray[np.int64], number: int) -> Sums:
        """Return centroids (k, d) of one of the drawn parts of a label's samples."""
        if k == 0:
            return np.zeros((0, self._training.dim))
        members = self._training.members[self._shards.labels[label]]
        if len(without):
            members = np.setdiff1d(members, without)
        if k == 1:  # all samples are its own, wherever it is
            return exact_directions(self._training.read(members[:1]).astype(np.float64) - self._training.centre)
        seed = self._seed + number
        drawn = self._training.shuffled(members, seed, _START, STARTED_FROM * k)
        drawn = np.array(sorted(drawn, key=self._training.ids.__getitem__), np.int64)
        points = directions(self._training.read(drawn), self._training.centre)
        clusters = spherical_clusters(points, k, seed)
        return exact_directions(sums_by(clusters, points, int(clusters.max()) + 1))

    def _best(
        self, first: list[Sums], labels: Numbers, k: Numbers, without: npt.NDArray[np.int64], numbers: Numbers
    ) -> list[Sums]:
        """Return of some labels the best of several starts, by a look at all samples; of the others the one there is."""
        found, lost = list(first), np.full(len(first), np.inf)
        for number in range(STARTS):
            start = [own[:0] for own in first]
            for label in labels.tolist():
                start[label] = first[label] if number == 0 else self._start(label, int(k[label]), without, number)
            among = _joined(self._training.centre, start, numbers)
            total = self._assigned(among)
            for label in labels.tolist():
                now = _lost(total, among, label)
                if now < lost[label]:
                    found[label], lost[label] = start[label], now
        return found

    def _assigned(self, among: Centroids) -> Assigned:
        """Pass over all samples."""
        total = Assigned.none(len(among.vectors), len(among.first) - 1, self._training.dim)
        for part in self._shards.map("k-means", assign, among):
            total.add(part)
        return total

    def _settled(self, centroids: list[Sums], without: Numbers) -> list[Sums]:
        """Move centroids until no label gains from it; who has one or none is settled from the start."""
        found, lost = list(centroids), np.full(len(centroids), np.inf)
        active = {label for label, own in enumerate(found) if len(own) > 1}
        for _ in range(PASSES):
            if not active:
                break
            moving = [own if label in active else own[:0] for label, own in enumerate(found)]
            among = _joined(self._training.centre, moving, without)
            total = self._assigned(among)
            for label in sorted(active):
                own = among.own(label)
                now = _lost(total, among, label)
                if now >= lost[label] * (1 - SETTLED):
                    active.discard(label)
                    continue
                lost[label] = now
                found[label] = _moved(
                    among.vectors[own], total.sums[own], total.counts[own], total.worst_direction[label]
                )
        return found


def _lost(total: Assigned, among: Centroids, label: int) -> float:
    """Return 1 - the mean cosine of a label's samples to their nearest centroids."""
    count = int(total.counts[among.own(label)].sum())
    return 1 - float(total.cosine[label]) / 2**24 / count


def _moved(before: Sums, sums: Sums, counts: Numbers, worst: Sums) -> Sums:
    """Return centroids at the middle of their members; the first without any goes to the worst-served sample."""
    moved = np.where(counts[:, None] > 0, exact_directions(sums), before)
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        moved[empty[0]] = worst
    return moved


def _joined(centre: Vectors, centroids: list[Sums], without: Numbers) -> Centroids:
    first = np.cumsum([0, *map(len, centroids)])
    return Centroids(centre, np.concatenate(centroids).reshape(-1, len(centre)), first, without)
