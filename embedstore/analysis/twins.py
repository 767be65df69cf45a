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
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from embedstore.errors import SettingsError
from embedstore.vectors import Vectors, unit_length

if TYPE_CHECKING:
    from embedstore.images import Sample
    from embedstore.store.embedding_store import EmbeddingStore

DIRECTIONS = 256  # at most; more cost time and found no more twins
SAMPLES_PER_DIRECTION = 5  # with fewer, whitening makes every picture as far from its twin as from all others
FEWEST = 50  # samples that a threshold can be calibrated on
MADE_UP, BEYOND = 4_000, 4  # so many pictures are made up, and so many of them have a neighbour beyond the threshold
_KEPT = 32  # pairs that a sample starts with, best first: a thousand copies of one picture would give half a million
_ROWS, _COLUMNS = 1_024, 4_096
_NOISE = 1e-7  # a direction with a smaller share of all variance is rounding

_PAIR = np.dtype([("first", np.int64), ("second", np.int64), ("similarity", np.float32)])


@dataclass(frozen=True)
class Agreement:
    """How the twins, found without a look at the groups, fit the groups that the source gave; over pairs.

    Attributes:
        given: pairs of samples that share a given group.
        found: pairs found among the samples that have a given group.
        shared: pairs that are both.
    """

    given: int
    found: int
    shared: int

    @property
    def precision(self) -> float | None:
        """The share of the found pairs that the groups confirm; None where none was found."""
        return self.shared / self.found if self.found else None

    @property
    def recall(self) -> float | None:
        """The share of the given pairs that was found; None where none was given."""
        return self.shared / self.given if self.given else None


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
        agreement: with the groups of the source; None where it gave none.
        remarks: sentences on what a reader should know.
    """

    version: int
    similarity: float
    calibrated: bool
    directions: int
    sets: list[list[str]]
    groups: dict[str, str]
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
    groups that of the most similar sample); groups are never joined with each other.

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
    whitened = _whiten(store, store.positions(names))
    if not whitened.shape[1]:
        raise SettingsError(f"All samples of the store '{store.path}' have the same vector; build it from pictures.")
    vectors = unit_length(whitened)
    threshold = _calibrate(whitened, vectors) if similarity is None else similarity
    found = _join(vectors, _pairs(vectors, threshold, progress), threshold)
    samples = [store.sample(name) for name in names]
    given = dict(zip(store.ids, store.given("group"), strict=True))
    groups, conflicts = _propose(samples, found, vectors)
    return Twins(
        store.version,
        float(threshold),
        similarity is None,
        vectors.shape[1],
        [[names[at] for at in members] for members in found],
        groups,
        _agree([given[name] for name in names], found),
        _remarks(samples, found, conflicts, threshold),
    )


def torn_groups(store: EmbeddingStore) -> list[str]:
    """Return the groups whose pictures are on several sides of the written split; a sample set aside binds nothing."""
    sides: dict[str, set[str]] = {}
    for sample in store.samples:
        if sample.group is not None and sample.split not in (None, "aside"):
            sides.setdefault(sample.group, set()).add(str(sample.split))
    return sorted(group for group, found in sides.items() if len(found) > 1)


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
    rounding = max(_NOISE * abs(variance).sum(), float(np.finfo(np.float16).eps) ** 2 / dim)
    most = min(DIRECTIONS, max(count // SAMPLES_PER_DIRECTION, 8))
    main = np.flatnonzero(variance > rounding)[::-1][:most]
    scaled = axes[:, main] / np.sqrt(variance[main])
    return np.concatenate([(store.read(part) - mean) @ scaled for part in _cut(positions)]).astype(np.float32)


def _calibrate(whitened: Vectors, vectors: Vectors) -> float:
    """Return the similarity to their nearest picture that `BEYOND` of `MADE_UP` made-up pictures exceed."""
    count, directions = whitened.shape
    drawn = np.random.default_rng(0).integers(0, count, (MADE_UP, directions))
    made_up = unit_length(whitened[drawn, np.arange(directions)])
    nearest = np.full(MADE_UP, -1, np.float32)
    for part in _cut(np.arange(count)):
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


def _propose(
    samples: Sequence[Sample], found: list[list[int]], vectors: Vectors
) -> tuple[dict[str, str], list[list[str]]]:
    """Return a group for each sample of a set that has none, and which given groups meet in one set."""
    groups: dict[str, str] = {}
    conflicts: list[list[str]] = []
    taken = {sample.group for sample in samples}
    for members in found:
        fixed = [at for at in members if samples[at].group is not None]
        met = sorted({str(samples[at].group) for at in fixed})
        if len(met) > 1:
            conflicts.append(met)
        if not fixed:
            name = f"twins of {samples[members[0]].id}"
            while name in taken:
                name += "+"
            taken.add(name)
            groups |= dict.fromkeys((samples[at].id for at in members), name)
            continue
        for at in (at for at in members if samples[at].group is None):
            nearest = fixed[int(np.argmax(vectors[fixed] @ vectors[at]))]
            groups[samples[at].id] = str(samples[nearest].group)
    return groups, conflicts


def _agree(given: Sequence[str | None], found: list[list[int]]) -> Agreement | None:
    if not any(group is not None for group in given):
        return None
    sizes = Counter(group for group in given if group is not None)
    inside = [Counter(given[at] for at in members if given[at] is not None) for members in found]
    return Agreement(
        given=sum(comb(size, 2) for size in sizes.values()),
        found=sum(comb(counts.total(), 2) for counts in inside),
        shared=sum(comb(size, 2) for counts in inside for size in counts.values()),
    )


def _remarks(
    samples: Sequence[Sample], found: list[list[int]], conflicts: list[list[str]], threshold: float
) -> list[str]:
    remarks = []
    if threshold > 0.95:
        remarks.append("The pictures are too few, or too much alike, to tell twins from others: only copies are found.")
    for field in ("label", "mode"):
        mixed = [m for m in found if len({getattr(samples[at], field) for at in m} - {None}) > 1]
        if mixed:
            values = sorted({getattr(samples[at], field) for at in mixed[0]} - {None})
            remarks.append(
                f"{len(mixed)} of {len(found)} sets mix {field}s: look for errors in them, such as at "
                f"'{samples[mixed[0][0]].id}' ({', '.join(values)})."
            )
    if conflicts:
        remarks.append(
            f"{len(conflicts)} sets hold pictures of several groups that are there already, which stay as they are: such "
            f"as '{conflicts[0][0]}' and '{conflicts[0][1]}'."
        )
    return remarks


def _cut(positions: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    for start in range(0, len(positions), _COLUMNS):
        yield positions[start : start + _COLUMNS]
