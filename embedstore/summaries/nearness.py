"""Near: closer than a label's median distance from a sample to its nearest sample of another group.

One number per label, the same for every summary of the same samples and groups, so that these can be compared by what
they leave without a prototype near. Distances are Euclidean between vectors at unit length, whatever lengths the store keeps;
they need no centre.
"""

import hashlib
from dataclasses import dataclass
from heapq import nsmallest

import numpy as np
import numpy.typing as npt

from embedstore.summaries.strategy import Positions, TrainingVectors
from embedstore.vectors import exact_directions, squared_distances

MOST_QUERIES = 2_000  # samples of a label whose nearest neighbour is looked up; all others of the label are searched
_AT_ONCE = 512


@dataclass(frozen=True)
class Nearest:
    """Of some samples of a label, the nearest sample of another group; positions are in the samples that it was found in.

    Attributes:
        queries: positions (q,) of the samples that were looked up.
        neighbours: positions (q,) of the nearest ones.
        distances: (q,) to them, between vectors at unit length.
    """

    queries: Positions
    neighbours: Positions
    distances: npt.NDArray[np.float64]

    @property
    def near(self) -> float | None:
        """The label's near distance; None where all of its samples are of one group."""
        return float(np.median(self.distances)) if len(self.queries) else None


NONE = Nearest(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


def near_distances(training: TrainingVectors, seed: int = 0) -> dict[str, float | None]:
    """Return each label's near distance; None where all of its samples are of one group."""
    return {label: nearest(training, members, seed).near for label, members in training.members.items()}


def nearest(training: TrainingVectors, members: Positions, seed: int = 0) -> Nearest:
    """Look up the samples of a label that near is the median of."""
    queries = queries_of(training, members, seed)
    return Nearest(queries, *_among(training, queries, members)) if len(queries) else NONE


def nearest_after(
    training: TrainingVectors, members: Positions, before: Nearest, came: Positions, seed: int = 0
) -> Nearest:
    """Look up again, where samples came and left: all others only for who is new among those looked up or lost its neighbour.

    Args:
        training: the samples as they are now.
        members: those of the label.
        before: what was found, in positions of now; -1 for those that left. No group is another since.
        came: the positions of those that came.
        seed: as before.
    """
    queries = queries_of(training, members, seed)
    if not len(queries):
        return NONE
    stands = (before.queries >= 0) & (before.neighbours >= 0)
    place = {int(at): number for number, at in enumerate(before.queries) if stands[number]}
    number = np.array([place.get(int(at), -1) for at in queries], np.int64)
    old, fresh = np.flatnonzero(number >= 0), np.flatnonzero(number < 0)
    neighbours, distances = np.zeros(len(queries), np.int64), np.zeros(len(queries))
    neighbours[old], distances[old] = before.neighbours[number[old]], before.distances[number[old]]
    neighbours[fresh], distances[fresh] = _among(training, queries[fresh], members)
    newcomers, gaps = _among(training, queries[old], came)
    nearer = gaps < distances[old]
    neighbours[old[nearer]], distances[old[nearer]] = newcomers[nearer], gaps[nearer]
    return Nearest(queries, neighbours, distances)


def queries_of(training: TrainingVectors, members: Positions, seed: int = 0) -> Positions:
    """Return which samples of a label are looked up; none where all are of one group."""
    if len({training.groups[at] for at in members}) < 2:
        return NONE.queries
    return np.array(nsmallest(MOST_QUERIES, members, lambda at: _hash(seed, training.ids[at])), np.int64)


def _among(
    training: TrainingVectors, queries: Positions, members: Positions
) -> tuple[Positions, npt.NDArray[np.float64]]:
    """Return the nearest of some samples (m,) that is of another group, and its distance, for each query (q,)."""
    codes = {group: code for code, group in enumerate(sorted({training.groups[at] for at in (*queries, *members)}))}
    asked, groups = (np.array([codes[training.groups[at]] for at in some], np.int64) for some in (queries, members))
    query_vectors = exact_directions(training.read(queries))
    least, found = np.full(len(queries), np.inf), np.zeros(len(queries), np.int64)
    for start in range(0, len(members) if len(queries) else 0, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        squares = squared_distances(query_vectors, exact_directions(training.read(members[part])))
        squares[asked[:, None] == groups[part][None, :]] = np.inf
        at = squares.argmin(axis=1)
        nearer = squares[np.arange(len(queries)), at]
        found[nearer < least] = members[part][at[nearer < least]]
        least = np.minimum(least, nearer)
    return found, np.sqrt(least)


def _hash(seed: int, sample_id: str) -> bytes:
    return hashlib.blake2b(f"{seed}\0{sample_id}".encode(), digest_size=16, person=b"near").digest()
