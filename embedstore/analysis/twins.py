"""Twins: pictures of one physical part, found from the vectors alone, so that a split by group keeps them together.

The raw cosine is a poor measure: what all pictures share (framing, surface) and how they differ most (light) outweighs
what tells one part from another. So the vectors are whitened first, each direction scaled to the same spread (Jegou and
Chum, Negative evidences and co-occurrences in image retrieval: the benefit of PCA and whitening, 2012). How alike twins
are is read off the store itself: pictures made up by taking each whitened direction from another random picture are
twins of nothing, so similarity begins to tell where hardly any of them comes (the target-decoy approach of Elias and
Gygi, 2007). Augmented views are no measure: their crops lie much farther from their picture than twins do.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from embedstore.analysis.twin_groups import Agreement, agree, propose, remarks_on
from embedstore.errors import SettingsError
from embedstore.vectors import Vectors, unit_length

if TYPE_CHECKING:
    from embedstore.store.embedding_store import EmbeddingStore

DIRECTIONS = 256  # at most; more cost time and found no more twins
SAMPLES_PER_DIRECTION = 5  # with fewer, whitening makes every picture as far from its twin as from all others
FEWEST = 50  # samples that a threshold can be calibrated on
MADE_UP, BEYOND = 4_000, 4  # so many pictures are made up, and so many of them have a neighbour beyond the threshold
_KEPT = 32  # pairs that a sample starts with, best first: a thousand copies of one picture would give half a million
_ROWS, _COLUMNS = 1_024, 4_096
_NOISE = 1e-7  # a direction with a smaller share of all variance is rounding
_ONLY_COPIES = "The pictures are too few, or too much alike, to tell twins from others: only copies are found."

_PAIR = np.dtype([("first", np.int64), ("second", np.int64), ("similarity", np.float32)])


@dataclass(frozen=True)
class Twins:
    """What was found, and what to write.

    Attributes:
        version: of the store that was looked at.
        similarity: sets are twins where their pictures are on average more alike: a cosine of whitened vectors.
        calibrated: the store told it; else it was given.
        directions: how many whitened directions are compared.
        sets: ids of pictures taken for one part, from the vectors alone; the largest first.
        groups: a group for each sample of a set that has none yet: id -> name. `EmbeddingStore.set_groups` writes them.
        merged: groups that would go into another one: group -> that group, if groups that meet in a set were united. They
            are only where they are asked for: `set_groups(twins.groups, merge=twins.merged)`.
        agreement: with the groups of the source; None where it gave none.
        remarks: sentences on what a reader should know.
    """

    version: int
    similarity: float
    calibrated: bool
    directions: int
    sets: list[list[str]]
    groups: dict[str, str]
    merged: dict[str, str]
    agreement: Agreement | None
    remarks: list[str]


def find_twins(
    store: EmbeddingStore, *, similarity: float | None = None, progress: Callable[[int, int], None] | None = None
) -> Twins:
    """Find pictures of the same part among a store's plain views, and propose groups.

    Sets are joined by average linkage, so that a chain of look-alikes does not glue different parts. It takes many parts
    to tell what sets them apart: below some hundred samples, or where few parts make up most of them, little is found.
    Deterministic, independent of the order of rows; blockwise, with (n, 256) numbers in memory and n * n / 2
    similarities computed.

    A sample that has a group keeps it. Where a set holds samples of a group, those without one join it (of several
    groups that of the most similar sample). Where a set holds several groups, `merged` unites them, whole, under the
    name of the one with the most pictures; two sets that share a group make one. They stay apart unless it is written.

    Args:
        store: at the version to look at.
        similarity: the threshold; where not given, the one that 1 in 1,000 made-up pictures reaches.
        progress: called with (samples compared, samples in all).

    Raises:
        SettingsError: `similarity` is not between 0 and 1, or too few samples, or only equal ones, to find it.
    """
    if similarity is not None and not 0 < similarity < 1:
        raise SettingsError(f"The similarity is {similarity}; expected a number above 0 and below 1, such as 0.5.")
    names = sorted(store.ids)
    if len(names) < (FEWEST if similarity is None else 2):
        raise SettingsError(
            f"The store '{store.path}' has {len(names)} samples, too few to tell how alike two parts can be; "
            f"find that out with {FEWEST} or more, or give --similarity for 2 or more."
        )
    positions = store.positions(names)
    vectors = _whiten(store, positions)
    if not vectors.shape[1]:
        raise SettingsError(f"All samples of the store '{store.path}' have the same vector; build it from pictures.")
    made_up = _mix(vectors)
    for part in _cut(np.arange(len(vectors))):  # in place: all at once would need six times the memory
        vectors[part] = unit_length(vectors[part])
    threshold = _calibrate(made_up, vectors) if similarity is None else similarity
    found = _join(vectors, _pairs(vectors, threshold, progress), threshold)
    known, given = store.samples, store.given("group")
    samples = [known[at] for at in positions.tolist()]
    proposal = propose(samples, found, vectors)
    return Twins(
        store.version,
        float(threshold),
        similarity is None,
        vectors.shape[1],
        [[names[at] for at in members] for members in found],
        proposal.groups,
        proposal.merged,
        agree([given[at] for at in positions.tolist()], found),
        [_ONLY_COPIES] * (threshold > 0.95) + remarks_on(samples, found, proposal),
    )


def _whiten(store: EmbeddingStore, positions: npt.NDArray[np.int64]) -> Vectors:
    """Return the vectors (n, k) in their k main directions, each of variance 1; the lesser directions are left out."""
    count, dim = len(positions), store.dim
    total, products = np.zeros(dim), np.zeros((dim, dim))
    for part in _cut(positions):
        vectors = store.read(part).astype(np.float64)
        total += vectors.sum(axis=0)
        products += vectors.T @ vectors
    mean = total / count
    variance, axes = np.linalg.eigh(products / count - np.outer(mean, mean))
    mean_square = np.trace(products) / count / dim  # float16 rounds each number by a share of it
    rounding = max(_NOISE * abs(variance).sum(), float(np.finfo(np.float16).eps) ** 2 * mean_square)
    most = min(DIRECTIONS, max(count // SAMPLES_PER_DIRECTION, 8))
    main = np.flatnonzero(variance > rounding)[::-1][:most]
    scaled = axes[:, main] / np.sqrt(variance[main])
    whitened = np.empty((count, len(main)), np.float32)
    for at in _cut(np.arange(count)):
        whitened[at] = (store.read(positions[at]) - mean) @ scaled
    return whitened


def _mix(whitened: Vectors) -> Vectors:
    """Return made-up pictures, of unit length: each direction is that of another random picture."""
    count, directions = whitened.shape
    drawn = np.random.default_rng(0).integers(0, count, (MADE_UP, directions))
    return unit_length(whitened[drawn, np.arange(directions)])


def _calibrate(made_up: Vectors, vectors: Vectors) -> float:
    """Return the similarity to their nearest picture that `BEYOND` of `MADE_UP` made-up pictures exceed."""
    nearest = np.full(MADE_UP, -1, np.float32)
    for part in _cut(np.arange(len(vectors))):
        nearest = np.maximum(nearest, (made_up @ vectors[part].T).max(axis=1))
    return float(np.sort(nearest)[-BEYOND - 1])


def _pairs(vectors: Vectors, threshold: float, progress: Callable[[int, int], None] | None) -> npt.NDArray[np.void]:
    """Return the pairs above the threshold; of a sample with many, the best with later samples."""
    kept = [np.empty(0, _PAIR)]
    for start in range(0, len(vectors), _ROWS):
        best = np.empty(0, _PAIR)
        for part in _cut(np.arange(start, len(vectors))):
            similarities = vectors[start : start + _ROWS] @ vectors[part].T
            row, column = np.nonzero(
                (similarities > threshold) & (part > start + np.arange(len(similarities))[:, None])
            )
            fresh = np.empty(len(row), _PAIR)
            fresh["first"], fresh["second"], fresh["similarity"] = row + start, part[column], similarities[row, column]
            best = _best(np.concatenate([best, fresh]))
        kept.append(best)
        if progress is not None:
            progress(min(start + _ROWS, len(vectors)), len(vectors))
    return np.concatenate(kept)


def _best(pairs: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    ordered = pairs[np.lexsort((pairs["second"], -pairs["similarity"], pairs["first"]))]
    place = np.arange(len(ordered)) - np.searchsorted(ordered["first"], ordered["first"])
    return ordered[place < _KEPT]


def _join(vectors: Vectors, pairs: npt.NDArray[np.void], threshold: float) -> list[list[int]]:
    """Join the two most alike sets again and again, while their pictures are on average alike enough.

    The mean similarity of two sets is the product of their mean vectors, and where it is above the threshold, so is
    that of some pair: pairs above it are all that is needed, and no (n, n) matrix.
    """
    members: dict[int, list[int]] = {}
    sums: dict[int, npt.NDArray[np.floating]] = {}
    near: dict[int, set[int]] = {}
    queue = [(-similarity, first, second) for first, second, similarity in pairs.tolist()]
    for _, a, b in queue:
        for one, other in ((a, b), (b, a)):
            members[one], sums[one] = [one], vectors[one]
            near.setdefault(one, set()).add(other)
    heapq.heapify(queue)
    joined = len(vectors)  # a joined set's number, in the order of joining
    while queue:
        _, a, b = heapq.heappop(queue)
        if a not in near or b not in near:
            continue
        around = sorted((near.pop(a) | near.pop(b)) - {a, b})
        members[joined] = members.pop(a) + members.pop(b)
        sums[joined] = np.add(sums.pop(a), sums.pop(b), dtype=np.float64)
        near[joined] = set()
        for other in around:
            near[other] -= {a, b}
            mean = float(sums[other] @ sums[joined]) / (len(members[other]) * len(members[joined]))
            if mean > threshold:
                near[other].add(joined)
                near[joined].add(other)
                heapq.heappush(queue, (-mean, other, joined))
        joined += 1
    return sorted((sorted(found) for found in members.values() if len(found) > 1), key=lambda m: (-len(m), m))


def _cut(positions: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    for start in range(0, len(positions), _COLUMNS):
        yield positions[start : start + _COLUMNS]
