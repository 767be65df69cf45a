"""Near: closer than a label's median distance from a sample to its nearest sample of another group.

One number per label, the same for every summary of the same samples and groups, so that these can be compared by what
they leave without a prototype near. Distances are Euclidean between vectors of unit length; they need no centre.
"""

import hashlib

import numpy as np
import numpy.typing as npt

from embedstore.summaries.strategy import TrainingVectors
from embedstore.vectors import squared_distances

MOST_QUERIES = 2_000  # samples of a label whose nearest neighbour is looked up; all others of the label are searched
_AT_ONCE = 512


def near_distances(training: TrainingVectors, seed: int = 0) -> dict[str, float | None]:
    """Return each label's near distance; None where all of its samples are of one group."""
    return {label: _median(training, members, seed) for label, members in training.members.items()}


def _median(training: TrainingVectors, members: npt.NDArray[np.int64], seed: int) -> float | None:
    codes = {group: code for code, group in enumerate(sorted({training.groups[at] for at in members}))}
    if len(codes) < 2:
        return None
    groups = np.array([codes[training.groups[at]] for at in members])
    queries = np.array(sorted(range(len(members)), key=lambda m: _hash(seed, training.ids[members[m]]))[:MOST_QUERIES])
    query_vectors = training.read(members[queries])
    nearest = np.full(len(queries), np.inf)
    for start in range(0, len(members), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        squares = squared_distances(query_vectors, training.read(members[part]))
        squares[groups[queries][:, None] == groups[part][None, :]] = np.inf
        nearest = np.minimum(nearest, squares.min(axis=1))
    return float(np.median(np.sqrt(nearest)))


def _hash(seed: int, sample_id: str) -> bytes:
    return hashlib.blake2b(f"{seed}\0{sample_id}".encode(), digest_size=16, person=b"near").digest()
