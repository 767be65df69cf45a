"""Rare scores over shards: how far each sample is from what is common, and of each label those that are farthest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.summaries.over_shards.clusters import Clusters
from embedstore.summaries.over_shards.shards import Numbers, Read, Shard, Shards
from embedstore.vectors import exact_directions

_NUMBERS = 500_000  # distances at once
FARTHEST = 2.0


@dataclass(frozen=True)
class Common:
    """What a label's samples are compared with.

    Attributes:
        directions: (k, d) exact, of the common prototypes, those of a label side by side.
        first: (labels + 1,) those of label c are `first[c]` up to `first[c + 1]`.
        alone: (k,) the part that made it alone; -1 where several did, or nothing is known beyond that part.
        said: numbers of samples whose score is asked for in any case, ascending.
    """

    directions: npt.NDArray[np.float64]
    first: Numbers
    alone: npt.NDArray[np.int64]
    said: Numbers

    @classmethod
    def of(cls, clusters: Clusters, lone: npt.NDArray[np.bool_], said: Numbers) -> Common:
        """Compare with clusters' means.

        Args:
            clusters: of all labels.
            lone: (labels,) whether all samples of a label are of one part.
            said: see above.
        """
        first = np.searchsorted(clusters.label, np.arange(len(lone) + 1))
        alone = np.where(lone[clusters.label], -1, clusters.part)
        return cls(exact_directions(clusters.means), first, alone, said)


@dataclass(frozen=True)
class Scored:
    """Samples of one label with their scores, the highest first, of equal ones the first by id.

    Attributes:
        numbers: (m,) of the samples.
        gaps: (m,) from each to the nearest common prototype that other parts have made too; 2, the largest there is, where
            there is no such.
    """

    numbers: Numbers
    gaps: npt.NDArray[np.float64]

    def merged(self, other: Scored, most: int, said: Numbers) -> Scored:
        """Return the highest `most` of both, and those in `said`."""
        numbers, gaps = np.append(self.numbers, other.numbers), np.append(self.gaps, other.gaps)
        order = np.lexsort((numbers, -gaps))
        kept = order[(np.arange(len(order)) < most) | np.isin(numbers[order], said)]
        return Scored(numbers[kept], gaps[kept])


NONE = Scored(np.zeros(0, np.int64), np.zeros(0))


def score(shard: Shard, read: Read, common: Common, most: int) -> dict[int, Scored]:
    """Step: label -> its samples with the highest scores, at most so many, and those asked for."""
    found: dict[int, Scored] = {}
    for label, at, vectors in shard.by_label(read, np.diff(common.first) > 0):
        own = slice(common.first[label], common.first[label + 1])
        towards, alone = common.directions[own], common.alone[own]
        points, parts, gaps = exact_directions(vectors), shard.parts[at], np.empty(len(at))
        step = max(1, _NUMBERS // len(towards))
        for start in range(0, len(at), step):
            some = slice(start, start + step)
            squares = points[some] @ towards.T
            squares *= -2
            squares += (towards * towards).sum(axis=1)
            for column in np.flatnonzero(alone >= 0).tolist():
                squares[parts[some] == alone[column], column] = np.inf
            gaps[some] = squares.min(axis=1) + (points[some] * points[some]).sum(axis=1)
        scored = Scored(shard.numbers[at], np.minimum(np.sqrt(np.maximum(gaps, 0)), FARTHEST))
        found[label] = found.get(label, NONE).merged(scored, most, common.said)
    return found


def rarest_over(shards: Shards, common: Common, most: int) -> dict[int, Scored]:
    """Return of each label the samples with the highest scores, at most so many, and those asked for."""
    found: dict[int, Scored] = {}
    for part in shards.map("Rare scores", score, common, most):
        for label, scored in part.items():
            found[label] = found.get(label, NONE).merged(scored, most, common.said)
    return found
