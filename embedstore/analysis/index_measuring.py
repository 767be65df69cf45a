"""How much an index finds, of the answers that exact search gives, and how far it has to look for that.

It is measured twice: with stored samples drawn at random, and with the rarest ones, those farthest from the centre of every
list. The neighbours of a rare sample are spread over many lists, so that one figure for all would hide how many it loses.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from embedstore.analysis.exact_search import (
    MEMORY,
    Floats,
    Neighbours,
    Positions,
    directions,
    nearest,
    nearest_of,
    without,
)
from embedstore.store.index import VectorIndex, steps
from embedstore.store.index_file import IndexInfo

if TYPE_CHECKING:
    from embedstore.store.reading import StoreReader

Progress = Callable[[str, int, int], None]

TOP = 10  # what the recall is of
_QUERIES = 512
_RARE_SHARE, _LEAST_RARE, _RARE_QUERIES = 0.01, 64, 256  # whom to take for rare, and how many of the rarest to ask for
_LOOKED_AT = 1 << 18  # samples among which the rare ones are looked for
_AT_ONCE = 4096


def measured(
    store: StoreReader, index: VectorIndex, faiss_index: Any, told: Progress, memory: int | None = None
) -> IndexInfo:
    """Return what the index is, with the least effort that surely reaches each wanted recall, and the recalls measured.

    Args:
        store: what it was made of.
        index: as it will be used.
        faiss_index: the same, FAISS's own.
        told: called with (step, done, total).
        memory: bytes that the exact search may take.
    """
    info, top = index.info, min(TOP, len(store) - 1)
    if top == 0:
        return replace(info, recall=1.0, queries=0, rare_recall=1.0, rare_queries=0)
    told("Measuring", 0, 1)
    most = steps(faiss_index)
    rare, similarities = _rare(store, index)
    own = drawn(store, info.seed)[-_QUERIES:]
    ordinary, odd = _asked(store, [own, rare[:_RARE_QUERIES]], top, memory or MEMORY)
    first = _least(index, ordinary, info.wanted, most)
    second = _least(index, odd, info.rare_wanted, most)
    below = None
    if index.has_centres:
        below = float(similarities[len(rare) - 1])
    else:  # nobody can tell a rare query from others beforehand: all get what the rare ones need
        both = max(first.nprobe or 0, second.nprobe or 0) or None, max(first.refine, second.refine)
        first, second = (_tried(index, asked, *both) for asked in (ordinary, odd))
    told("Measuring", 1, 1)
    return replace(
        info,
        nprobe=first.nprobe,
        refine=first.refine,
        recall=first.recall,
        queries=len(ordinary.own),
        rare_below=below,
        rare_nprobe=second.nprobe,
        rare_refine=second.refine,
        rare_recall=second.recall,
        rare_queries=len(odd.own),
    )


def drawn(store: StoreReader, seed: int) -> Positions:
    """Return all positions in a random order: the index learns from the first and is measured with the last."""
    return np.random.default_rng(seed % 2**63).permutation(len(store))


def refinements(factory: str) -> tuple[int, ...]:
    """Return how many candidates for each answer to try to rank again: more where codes are coarser."""
    return (4, 6, 8, 12, 16) if re.search(r"PQ|PCA|ITQ|RaBitQ|SQ[1-6]|LSQ|RQ|RR", factory) else (1, 2, 4)


def least_effort(recall_of: Callable[[int], float], most: int, wanted: float) -> tuple[int, float]:
    """Return the least effort that reaches the wanted recall, to about an eighth, and the recall that it reaches.

    Where none does, or eight times the effort brings nothing more, it is the least that reaches as much.
    """
    tried = [(1, recall_of(1))]
    while tried[-1][1] < wanted and tried[-1][0] < most:
        if len(tried) > 3 and tried[-1][1] <= tried[-4][1] + 1e-4:
            break
        effort = min(2 * tried[-1][0], most)
        tried.append((effort, recall_of(effort)))
    if tried[-1][1] < wanted:
        highest = max(reached for _, reached in tried)
        return next((effort, reached) for effort, reached in tried if reached >= highest - 1e-4)
    (high, reached), low = tried[-1], tried[-2][0] if len(tried) > 1 else 0
    while high - low > max(1, low // 8):
        middle = (low + high) // 2
        recall = recall_of(middle)
        if recall >= wanted:
            high, reached = middle, recall
        else:
            low = middle
    return high, reached


@dataclass(frozen=True)
class _Asked:
    """Stored samples as queries, each left out of its own answers: where they stand, and the right answers to them."""

    store: StoreReader
    own: Positions
    queries: Any
    right: Neighbours


@dataclass(frozen=True)
class _Tried:
    """How far was looked, and what that found: the mean recall, and what surely is reached for other queries too."""

    nprobe: int | None
    refine: int
    recall: float
    surely: float


def _asked(store: StoreReader, sets: list[Positions], top: int, memory: int) -> list[_Asked]:
    """Return sets of stored samples as queries, answered exactly, all in one scan."""
    own = np.concatenate(sets)
    queries = store.read(own)
    right = without(nearest(store.scan, queries, top + 1, memory=memory), own)
    edges = np.cumsum([0, *map(len, sets)])
    parts = [slice(*ends) for ends in pairwise(edges.tolist())]
    return [
        _Asked(store, own[part], queries[part], Neighbours(right.positions[part], right.similarities[part]))
        for part in parts
    ]


def _least(index: VectorIndex, asked: _Asked, wanted: float, most: int | None) -> _Tried:
    """Return the least effort that surely reaches the wanted recall; where none does, that which finds most."""
    best: _Tried | None = None
    for refine in refinements(index.info.factory):
        tries: dict[int | None, _Tried] = {}

        def surely(effort: int | None, refine: int = refine, tries: dict[int | None, _Tried] = tries) -> float:
            tries[effort] = _tried(index, asked, effort, refine)
            return tries[effort].surely

        effort, _ = (None, surely(None)) if most is None else least_effort(surely, most, wanted)
        if best is None or tries[effort].recall > best.recall or tries[effort].surely >= wanted:
            best = tries[effort]
        if best.surely >= wanted:
            break
    assert best is not None  # noqa: S101  there is always some refinement to try
    return best


def _tried(index: VectorIndex, asked: _Asked, nprobe: int | None, refine: int) -> _Tried:
    top = asked.right.positions.shape[1]
    candidates = index.search(asked.queries, (top + 1) * refine, effort=nprobe)
    found = without(nearest_of(candidates, asked.store.read, asked.queries, top + 1), asked.own)
    shares = (found.similarities >= asked.right.similarities[:, -1:]).mean(
        axis=1
    )  # a copy of a right answer is as right
    mean = float(shares.mean())
    return _Tried(nprobe, refine, mean, mean - 2 * float(shares.std()) / math.sqrt(len(shares)))


def _rare(store: StoreReader, index: VectorIndex) -> tuple[Positions, Floats]:
    """Return the positions of the rarest samples, the farthest from all centres first, and their similarities to those."""
    order = drawn(store, index.info.seed)
    looked = np.sort(order[:_LOOKED_AT])
    nearest_centre = index.nearest_centre if index.has_centres else _own_centres(store, order, index.info.seed)
    found = np.concatenate(
        [
            nearest_centre(store.read(looked[start : start + _AT_ONCE])).astype(np.float64)
            for start in range(0, len(looked), _AT_ONCE)
        ]
    )
    count = min(len(looked), max(_LEAST_RARE, round(len(looked) * _RARE_SHARE)))
    rarest = np.argsort(found, kind="stable")[:count]
    return looked[rarest], found[rarest]


def _own_centres(store: StoreReader, order: Positions, seed: int) -> Callable[[Any], Floats]:
    """Return what gives vectors (n, d) their similarity (n,) to the nearest centre, for an index without lists."""
    import faiss

    points = directions(store.read(np.sort(order[: 1 << 14])))
    count = max(1, min(256, len(points) // 40))
    means = faiss.Kmeans(store.dim, count, niter=10, spherical=True, seed=seed % 2**31, min_points_per_centroid=1)
    means.train(points)
    centres = np.asarray(means.centroids)

    def nearest_centre(vectors: Any) -> Floats:
        return np.asarray((directions(vectors) @ centres.T).max(axis=1), np.float64)

    return nearest_centre
