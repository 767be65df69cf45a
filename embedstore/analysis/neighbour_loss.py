"""What a lighter copy loses: which neighbours change, and how well defects are still told from good parts by the nearest ones.

Held-out samples look for their neighbours among training samples, of other parts than their own; in a store that holds
nothing out, all but what is set aside do so among each other. Nothing of it is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from embedstore.errors import SettingsError
from embedstore.images import part_of
from embedstore.store.reducing import Flags, fitted_centre
from embedstore.teachers.reduction import projected
from embedstore.vectors import Vectors, widened

if TYPE_CHECKING:
    from embedstore.exports.light_file import LightFile
    from embedstore.store.embedding_store import EmbeddingStore

Positions = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]
Blocks = Iterable[tuple[Positions, Vectors]]  # positions (b,) in the whole store, directions (b, k) of unit length

TOP = 10  # neighbours
_QUERIES = 2000  # at most, drawn by a fixed seed


@dataclass(frozen=True)
class NeighbourLoss:
    """What was measured, before and after.

    Attributes:
        held_out: whether those that asked are of val and test; else the store holds nothing out.
        queries: how many asked.
        candidates, candidates_after: among how many.
        overlap: share of the 10 nearest neighbours that are still among the 10 nearest, the mean over queries; None where nobody
            has a neighbour of another part.
        auroc, auroc_after: of the cosine to the nearest defect minus that to the nearest good part; None where no good label was
            named, or one kind is missing.
    """

    held_out: bool
    queries: int
    candidates: int
    candidates_after: int
    overlap: float | None
    auroc: float | None
    auroc_after: float | None


@dataclass(frozen=True)
class Sight:
    """One way to see samples.

    Attributes:
        project: vectors (m, d) of the whole store -> directions (m, k), for queries.
        blocks: the candidates' directions, in one pass.
    """

    project: Callable[[Vectors], Vectors]
    blocks: Callable[[], Blocks]


def neighbour_loss(store: EmbeddingStore, before: Sight, after: Sight, good: str | None = None) -> NeighbourLoss:
    """Measure what a lighter copy of a store loses of neighbours.

    Args:
        store: the whole one.
        before: how it is seen.
        after: how the copy is, which may lack samples.
        good: the label of good parts.

    Raises:
        SettingsError: no sample has that label.
    """
    refuse_unknown_good(store, good)
    asked, candidates = sides(store)
    labels = np.array(store.labels, object)
    queries = np.flatnonzero(asked)
    if len(queries) > _QUERIES:
        queries = np.sort(np.random.default_rng(0).choice(queries, _QUERIES, replace=False))
    parts = _numbers_of_parts(store)
    of_good = np.full(len(store), -1)
    if good is not None:
        of_good = np.where(labels == good, 1, np.where(labels == None, -1, 0))  # noqa: E711  element by element
    vectors = store.read(queries)
    seen = [
        _look(one.blocks(), one.project(vectors), parts[queries], parts, candidates, of_good) for one in (before, after)
    ]
    return NeighbourLoss(
        held_out=not np.array_equal(asked, candidates),
        queries=len(queries),
        candidates=seen[0].count,
        candidates_after=seen[1].count,
        overlap=_overlap(seen[0].nearest, seen[1].nearest),
        auroc=_area(of_good[queries], seen[0].scores),
        auroc_after=_area(of_good[queries], seen[1].scores),
    )


def light_loss(store: EmbeddingStore, light: LightFile, good: str | None = None) -> NeighbourLoss:
    """Measure what a light file loses of the neighbours in the store that it was exported from.

    Args:
        store: at the version that was exported.
        light: as `read_light_file` gives it.
        good: the label of good parts.

    Raises:
        SettingsError: no sample has that label.
        StoreError: the light file has samples that the store does not have.
    """
    positions = store.positions(light.ids)
    return neighbour_loss(store, sight_of(store), Sight(light.project, lambda: [(positions, light.directions())]), good)


def refuse_unknown_good(store: EmbeddingStore, good: str | None) -> None:
    """Raise where a label of good parts is named that no sample has."""
    if good is not None and good not in (known := store.counts("label")):
        told = ", ".join(sorted(str(label) for label in known if label is not None)) or "(none)"
        raise SettingsError(f"No sample has the label '{good}' (there are {told}); name the label of good parts.")


def sides(store: EmbeddingStore) -> tuple[Flags, Flags]:
    """Return which samples (n,) ask, and among which they look."""
    side = np.array(store.field("split"), object)
    held_out, training = (side == "val") | (side == "test"), side == "train"
    if held_out.any() and training.any():
        return held_out, training
    everything = side != "aside"
    return everything, everything


def _numbers_of_parts(store: EmbeddingStore) -> Positions:
    """Return a number for the part that each sample (n,) shows; NumPy would give all names the room of the longest."""
    numbers: dict[str, int] = {}
    names = map(part_of, store.ids, store.field("group"))
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)


@dataclass(frozen=True)
class _Seen:
    nearest: Positions  # (m, 10), -1 where there are fewer
    scores: Scores  # (m,)
    count: int  # of candidates


def _look(  # noqa: PLR0917
    blocks: Blocks, queries: Vectors, query_parts: Positions, parts: Positions, candidates: Flags, of_good: Positions
) -> _Seen:
    """Search all candidates of other parts, block by block."""
    nearest = np.full((len(queries), TOP), -1, np.int64)
    closeness = np.full((len(queries), TOP), -np.inf, np.float32)
    best = np.full((2, len(queries)), -np.inf)  # of defects, of good parts
    count = 0
    for positions, directions in blocks:
        inside = candidates[positions]
        at = positions[inside]
        count += len(at)
        cosine = queries @ directions[inside].T
        cosine[query_parts[:, None] == parts[at]] = -np.inf
        for kind in (0, 1):
            of_kind = of_good[at] == kind
            if of_kind.any():
                best[kind] = np.maximum(best[kind], cosine[:, of_kind].max(axis=1))
        nearest, closeness = _ten_nearest(nearest, closeness, at, cosine)
    return _Seen(nearest, best[0] - best[1] if np.isfinite(best).all() else np.full(len(queries), np.nan), count)


def _ten_nearest(nearest: Positions, closeness: Vectors, at: Positions, cosine: Vectors) -> tuple[Positions, Vectors]:
    """Return the nearest (m, 10) among those so far and further candidates (b,); of equals the earlier one."""
    found = np.concatenate([closeness, cosine], axis=1)
    least = np.partition(found, -TOP, axis=1)[:, -TOP, None]
    row, column = np.nonzero((found >= least) & np.isfinite(found))  # sorting whole rows would take most of the time
    order = np.lexsort((column, -found[row, column], row))
    row, column = row[order], column[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    row, column, place = (each[place < TOP] for each in (row, column, place))
    told, closest = np.full(nearest.shape, -1), np.full(closeness.shape, -np.inf, np.float32)
    closest[row, place] = found[row, column]
    known = column < TOP
    told[row[known], place[known]] = nearest[row[known], column[known]]
    told[row[~known], place[~known]] = at[column[~known] - TOP]
    return told, closest


def _overlap(before: Positions, after: Positions) -> float | None:
    """Return the mean share of each query's neighbours (m, 10) before that are there afterwards."""
    shares = [len(set(a[a >= 0]) & set(b)) / (a >= 0).sum() for a, b in zip(before, after, strict=True) if a[0] >= 0]
    return float(np.mean(shares)) if shares else None


def _area(of_good: Positions, scores: Scores) -> float | None:
    """Return the AUROC of scores (m,) of labelled queries; None where one kind is missing or nothing was scored."""
    from sklearn.metrics import roc_auc_score

    known = of_good >= 0
    if len(set(of_good[known])) < 2 or np.isnan(scores).any():
        return None
    return float(roc_auc_score(of_good[known] == 0, scores[known]))


def sight_of(store: EmbeddingStore) -> Sight:
    """Return how a store is seen: by directions centred on what is looked among."""
    centre = fitted_centre(store, sides(store)[1])

    def project(vectors: Vectors) -> Vectors:
        return projected(vectors, centre)

    return Sight(project, blocks_of(store, project))


def blocks_of(
    store: EmbeddingStore, project: Callable[[Vectors], Vectors], positions: Positions | None = None
) -> Callable[[], Blocks]:
    """Return the plain vectors of a store as candidates.

    Args:
        store: to be scanned.
        project: vectors -> directions.
        positions: (n,) where its samples stand in the whole store; None: it is the whole store.
    """
    return lambda: (
        (at if positions is None else positions[at], project(widened(vectors))) for at, vectors in store.scan()
    )
