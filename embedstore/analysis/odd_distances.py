"""How far each sample lies from prototypes and from samples of other parts; exact, blockwise, in the order of ids.

Directions are rounded to multiples of 2^-24, whose products float64 adds without rounding. So a distance hangs neither on
the order of rows nor on how blocks are cut, and equal vectors are equally far.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from embedstore.store.earlier_pictures import seen_since
from embedstore.vectors import exact_directions

if TYPE_CHECKING:
    from embedstore.images import Sample
    from embedstore.store.embedding_store import EmbeddingStore
    from embedstore.summaries import Summary

Positions = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]

_ROWS, _NUMBERS = 4_096, 8_000_000  # samples at once, and distances at once: 64 MB
_QUERIES = 1_024


class OrderedSamples:
    """Samples of a store, all or those of some ids, in the order of their ids, so that the order of rows decides nothing.

    Attributes:
        ids, samples: (n,).
        positions: (n,) where each stands in the store.
        parts: (n,) a number for the part that each shows.
    """

    def __init__(self, store: EmbeddingStore, ids: Iterable[str] | None = None):
        self._store = store
        self.ids = sorted(store.ids if ids is None else ids)
        self.positions = store.positions(self.ids)
        self.samples: list[Sample] = [store.sample_at(int(at)) for at in self.positions]
        codes: dict[str, int] = {}
        self.parts = np.array([codes.setdefault(sample.part, len(codes)) for sample in self.samples], np.int64)

    def __len__(self) -> int:
        return len(self.ids)

    def directions(self, at: Positions) -> Numbers:
        """Return the plain vectors (m, d) at some places in `ids`, at unit length."""
        return exact_directions(self._store.read(self.positions[at]))

    def of_summary(self, summary: Summary) -> list[list[int]]:
        """Return the places in `ids` of each picture that a summary saw: none where it left, several where it has copies now."""
        place = {at: row for row, at in enumerate(self.positions.tolist())}
        positions = seen_since(summary, self._store).places
        return [[place[at] for at in positions.get(one, ()) if at in place] for one in summary.seen]

    def blocks(self, others: int) -> Iterator[tuple[Positions, Numbers]]:
        """Yield places and directions of some samples at a time, as many as can be compared with so many others."""
        rows = min(_ROWS, max(1, _NUMBERS // max(1, others)))
        for start in range(0, len(self), rows):
            at = np.arange(start, min(start + rows, len(self)))
            yield at, self.directions(at)


@dataclass(frozen=True)
class Distances:
    """Of each sample (n,): distances are infinite and numbers of prototypes -1 where there is none.

    Attributes:
        nearest, distance: the nearest prototype of its label and how far that is; of any label where it has none, or one
            that the summary has no prototype of.
        other, other_distance: the nearest one of another label. Both pass over prototypes of the sample's part alone.
        member_of, member_distance: the prototype that the summary says speaks for it.
    """

    nearest: Positions
    distance: Numbers
    other: Positions
    other_distance: Numbers
    member_of: Positions
    member_distance: Numbers


def prototype_distances(samples: OrderedSamples, summary: Summary, progress: Callable[[int], None]) -> Distances:
    """Compare each sample with each prototype; `progress` is called with the number of samples done."""
    count, prototypes = len(samples), exact_directions(summary.vectors)
    nearest, other = np.full(count, -1), np.full(count, -1)
    distance, other_distance, member_distance = (np.full(count, np.inf) for _ in range(3))
    places = samples.of_summary(summary)
    seen = _seen(samples, summary, places)
    member_of = np.append(summary.serving[:, 0], -1)[seen]  # -1, no picture that it saw, is the last place
    single = _single_parts(samples, summary, places, seen, member_of)
    prototype_labels = np.array(summary.labels, object)
    lengths = (prototypes * prototypes).sum(axis=1)
    for at, vectors in samples.blocks(len(prototypes)):
        squares = (vectors * vectors).sum(axis=1)[:, None] + lengths - 2 * (vectors @ prototypes.T)
        inside = np.flatnonzero(member_of[at] >= 0)
        member_distance[at[inside]] = np.sqrt(squares[inside, member_of[at[inside]]])
        squares[samples.parts[at][:, None] == single] = np.inf
        labels = np.array([samples.samples[one].label for one in at], object)
        for label in set(labels):
            rows = np.flatnonzero(labels == label)
            own = prototype_labels == label
            own |= not own.any()
            for columns, which, how_far in ((own, nearest, distance), (~own, other, other_distance)):
                if columns.any():
                    numbers = np.flatnonzero(columns)
                    best = numbers[squares[np.ix_(rows, numbers)].argmin(axis=1)]  # of equals the first
                    how_far[at[rows]] = np.sqrt(squares[rows, best])
                    which[at[rows]] = np.where(np.isfinite(squares[rows, best]), best, -1)
        progress(int(at[-1]) + 1)
    return Distances(nearest, distance, other, other_distance, member_of, member_distance)


def percentiles(samples: OrderedSamples, distances: Distances) -> Numbers:
    """Return of each sample (n,) how many of 100 members of its nearest prototype, of other parts, lie closer to that.

    NaN where there is no such prototype, or it has no such members.
    """
    found = np.full(len(samples), np.nan)
    for prototype in range(int(distances.member_of.max(initial=-1)) + 1):
        members = np.flatnonzero(distances.member_of == prototype)
        members = members[np.lexsort((distances.member_distance[members], samples.parts[members]))]
        away, parts = distances.member_distance[members], samples.parts[members]
        rows = np.flatnonzero(distances.nearest == prototype)
        closer = np.searchsorted(np.sort(away), distances.distance[rows])
        first, last = (np.searchsorted(parts, samples.parts[rows], side) for side in ("left", "right"))
        for at in np.flatnonzero(last > first).tolist():  # those of its own part do not count
            closer[at] -= np.searchsorted(away[first[at] : last[at]], distances.distance[rows[at]])
        others = len(members) - (last - first)
        found[rows] = np.where(others > 0, 100 * closer / np.maximum(others, 1), np.nan)
    return found


def nearest_parts(
    samples: OrderedSamples, asked: Positions, count: int, progress: Callable[[int], None]
) -> tuple[Positions, Numbers, Numbers]:
    """Return the nearest samples of other parts, one a part: places, cosines and distances, each (m, count).

    Where there are fewer such parts the place is -1. Of equally near samples the first by id is taken. `progress` is
    called with the number of samples done; where more than a thousand are asked, it counts all passes as one.
    """
    places = np.full((len(asked), count), -1)
    cosines, distances = np.full(places.shape, -np.inf), np.full(places.shape, np.inf)
    for start in range(0, len(asked), _QUERIES):
        some = slice(start, start + _QUERIES)
        queries = samples.directions(asked[some])
        for at, vectors in samples.blocks(len(queries)):
            scores = np.concatenate([cosines[some], queries @ vectors.T], axis=1)
            found = np.concatenate([places[some], np.broadcast_to(at, (len(queries), len(at)))], axis=1)
            cosines[some], places[some] = _best(samples.parts, asked[some], scores, found, count)
            progress((start * len(samples) + (int(at[-1]) + 1) * len(queries)) // len(asked))
        for column in range(count):
            known = places[some, column] >= 0
            away = queries[known] - samples.directions(places[some, column][known])
            distances[some, column][known] = np.sqrt((away * away).sum(axis=1))
    return places, cosines, distances


def _best(
    parts: Positions, asked: Positions, scores: Numbers, places: Positions, count: int
) -> tuple[Numbers, Positions]:
    """Return the best scores (m, count) out of (m, b) and their places, one a part and none of the asked sample's."""
    parts_there = np.where(places < 0, -1, parts[places])
    scores[parts_there == parts[asked][:, None]] = -np.inf
    lines, picks = np.arange(len(asked)), []
    for _ in range(count):
        pick = scores.argmax(axis=1)  # of equals the first
        best = scores[lines, pick]
        picks.append((best, np.where(np.isneginf(best), -1, places[lines, pick])))
        scores[parts_there == parts_there[lines, pick][:, None]] = -np.inf
    return np.stack([best for best, _ in picks], axis=1), np.stack([place for _, place in picks], axis=1)


def _seen(samples: OrderedSamples, summary: Summary, places: list[list[int]]) -> Positions:
    """Return which of the pictures that the summary saw each sample is (n,), as a place in `seen`; -1 where it is none."""
    seen = np.full(len(samples), -1)
    for number, (sample_id, rows) in enumerate(zip(summary.seen, places, strict=True)):
        for row in rows:
            if seen[row] < 0 or samples.ids[row] == sample_id:  # of copies, the one that has the name
                seen[row] = number
    return seen


def _single_parts(
    samples: OrderedSamples, summary: Summary, places: list[list[int]], seen: Positions, member_of: Positions
) -> Positions:
    """Return the part (k,) that each prototype comes from, where that is one only; else -1.

    A prototype that is a sample comes from that sample's part. A mean comes from the parts of its members, as far as
    vectors were made from them; where the summary was made from none, as from texts, from all that it speaks for.
    """
    makers = member_of >= 0
    if summary.fitted.any():
        makers &= np.append(summary.fitted, False)[seen]
    low = np.full(len(summary.labels), len(samples))
    high = np.full(len(summary.labels), -1)
    np.minimum.at(low, member_of[makers], samples.parts[makers])
    np.maximum.at(high, member_of[makers], samples.parts[makers])
    single = np.where(low == high, low, -1)
    for prototype in np.flatnonzero(summary.source >= 0):
        rows = places[summary.source[prototype]]
        single[prototype] = samples.parts[rows[0]] if rows else -1
    return single
