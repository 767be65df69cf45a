"""Near distances over shards: the same queries, and to the bit the same answers, as `nearness` finds of gathered vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.summaries.nearness import queries_of
from embedstore.summaries.over_shards.shards import Numbers, Read, Shard, Shards
from embedstore.summaries.strategy import TrainingVectors
from embedstore.vectors import exact_directions, squared_distances

_QUERIES = 65_536  # in one pass, of as many labels as that is
_AT_ONCE = 512


@dataclass(frozen=True)
class Queries:
    """Samples of some labels whose nearest sample of another part is looked up.

    Attributes:
        vectors: (q, d) float16 as stored, those of a label side by side.
        parts: (q,) that each shows.
        first: (labels + 1,) those of label c are `first[c]` up to `first[c + 1]`; a label may have none.
    """

    vectors: npt.NDArray[np.float16]
    parts: npt.NDArray[np.int32]
    first: Numbers


def nearest_squares(shard: Shard, read: Read, queries: Queries) -> npt.NDArray[np.float64]:
    """Step: the squared distance (q,) to the nearest sample of another part, both at unit length; infinite where it has none.

    Products of exact directions are added without rounding, so no bit hangs on the cut into shards.
    """
    least = np.full(len(queries.vectors), np.inf)
    for label, at, vectors in shard.by_label(read, np.diff(queries.first) > 0):
        own = slice(queries.first[label], queries.first[label + 1])
        asked = exact_directions(queries.vectors[own])
        for start in range(0, len(at), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            squares = squared_distances(asked, exact_directions(vectors[part]))
            squares[queries.parts[own, None] == shard.parts[at[part]]] = np.inf
            least[own] = np.minimum(least[own], squares.min(axis=1))
    return least


def near_distances(training: TrainingVectors, shards: Shards) -> dict[str, float | None]:
    """Return each label's near distance, as `nearness.near_distances` does."""
    asked = [queries_of(training, members) for members in training.members.values()]
    near: dict[str, float | None] = {}
    for labels in _in_passes([len(one) for one in asked]):
        positions = [asked[label] if label in labels else asked[label][:0] for label in range(len(asked))]
        every = np.concatenate(positions)
        first = np.cumsum([0, *map(len, positions)])
        vectors = training.read(every).astype(np.float16)
        least = np.full(len(every), np.inf)
        for part in shards.map("Near distances", nearest_squares, Queries(vectors, shards.parts[every], first)):
            np.minimum(least, part, out=least)
        for label in labels:
            squares = least[first[label] : first[label + 1]]
            near[shards.labels[label]] = float(np.median(np.sqrt(squares))) if len(squares) else None
    return near


def _in_passes(counts: list[int]) -> list[list[int]]:
    """Return which labels to look up in each pass: as many as have few enough queries together, but one or more."""
    passes: list[list[int]] = [[]]
    total = 0
    for label, count in enumerate(counts):
        if passes[-1] and total + count > _QUERIES:
            passes.append([])
            total = 0
        passes[-1].append(label)
        total += count
    return passes
