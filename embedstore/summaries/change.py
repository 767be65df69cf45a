"""What changed for one label of a summary, and what an update makes of that: the contract of every `update`.

An update costs as much as what changed, not as much as the label has samples: it is given the vectors that left and reads
those that came. A strategy that needs to look at others says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from embedstore.summaries.strategy import Positions, Prototypes, TrainingVectors
from embedstore.vectors import Vectors, squared_distances, unit_length

GONE = -1


@dataclass(frozen=True)
class LabelChange:
    """One label of a summary, and the samples that came and left since it was made.

    A sample with another picture or label has left with the one and come with the other.

    Attributes:
        label: the label.
        vectors: (k, d) float32, its prototypes so far.
        counts: (k,) how many samples each spoke for.
        source: (k,) which sample of `training` each is; -1 where it is none; `left_source` where that one has left.
        left_source: (k,) whether the sample that a prototype is has left.
        training: its samples as they are now (n), sorted by id, with the centre of all labels' samples.
        served_by: (n,) which prototype speaks for each sample that stayed; -1: it came.
        was_fitted: (n,) which of them prototypes were made from.
        left: (r, d) float32, the plain vectors of those that left, as they were.
        left_served_by: (r,) which prototype spoke for each.
        left_fitted: (r,) which of those prototypes were made from.
    """

    label: str
    vectors: Vectors
    counts: npt.NDArray[np.int64]
    source: Positions
    left_source: npt.NDArray[np.bool_]
    training: TrainingVectors
    served_by: Positions
    was_fitted: npt.NDArray[np.bool_]
    left: Vectors
    left_served_by: Positions
    left_fitted: npt.NDArray[np.bool_]

    @cached_property
    def came(self) -> Positions:
        """The places in `training` of the samples that came."""
        return np.flatnonzero(self.served_by < 0)

    @cached_property
    def came_vectors(self) -> Vectors:
        """Their plain vectors (m, d)."""
        return self.training.read(self.came)

    def nearest(self, vectors: Vectors, among: Positions) -> Positions:
        """Return the prototype of some, out of those so far, that is nearest to each vector (m, d); of equals, the first."""
        squares = squared_distances(unit_length(vectors), unit_length(self.vectors[among]))
        return among[squares.argmin(axis=1)] if len(vectors) else np.zeros(0, np.int64)


@dataclass(frozen=True)
class Updated:
    """What an update made of a label.

    Attributes:
        prototypes: of this label; positions are those in `LabelChange.training`.
        before: (k,) which prototype so far each goes on from; -1 for a new one. Who had one that goes on keeps it.
    """

    prototypes: Prototypes
    before: Positions


# (change, seed, the strategy's own parameters by name) -> Updated; deterministic and independent of row order.
Update = Callable[..., Updated]


def moved_means(
    change: LabelChange, among: Positions, without: Positions | None = None
) -> tuple[Vectors, Positions, Positions]:
    """Move the means that some prototypes are, each with the samples that it gained and lost.

    One that only gained is a running mean: its vector times its count, and the new ones. One that lost a member is averaged
    again over those left, which is all that is read of samples that did not change: whom a mean speaks for need not be whom
    it was made of, so taking off what was never in it would send it anywhere. One without any member is gone.

    Args:
        change: what came and left.
        among: the prototypes (m,) that are means.
        without: places in `training` of samples that are prototypes of their own now, so members of no mean.

    Returns:
        The means (j, d); which prototype so far each goes on from (j,); and the members' means (n,) as those numbers, -1 where
        a sample is a member of none.
    """
    training = change.training
    member = np.where(np.isin(change.served_by, among), change.served_by, GONE)
    lost = np.bincount(change.left_served_by, minlength=len(change.vectors)) > 0
    if len(among):
        member[change.came] = change.nearest(change.came_vectors, among)
    if without is not None and len(without):
        stayed = without[change.served_by[without] >= 0]
        lost[member[stayed][member[stayed] >= 0]] = True
        member[without] = GONE
    means, before = [], []
    place = {int(at): number for number, at in enumerate(change.came)}
    for number in among.tolist():
        members = np.flatnonzero(member == number)
        if not len(members):
            continue
        before.append(number)
        gained = members[change.served_by[members] < 0]
        if lost[number]:
            means.append(training.total(members) / len(members))
        elif len(gained):
            added = change.came_vectors[[place[int(at)] for at in gained]].astype(np.float64).sum(axis=0)
            count = int(change.counts[number])
            means.append((change.vectors[number].astype(np.float64) * count + added) / (count + len(gained)))
        else:
            means.append(change.vectors[number].astype(np.float64))
    found = np.array(means, np.float64).reshape(-1, training.dim).astype(np.float32)
    return found, np.array(before, np.int64), member
