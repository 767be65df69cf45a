"""How much of the right answer an engine gives, measured with stored samples as queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedstore.analysis.exact_search import Floats, Neighbours, Positions, nearest, nearest_of, without
from embedstore.analysis.index_measuring import TOP, drawn, least_effort
from embedstore.vectors import unit_length

if TYPE_CHECKING:
    from embedstore.search_engines.copies import Copy
    from embedstore.store.searching import SearchableStore
    from embedstore.vectors import Vectors

_ROUNDING = 1e-6  # of FAISS's float32


@dataclass(frozen=True)
class Agreement:
    """What was measured.

    Attributes:
        queries: how many samples were drawn.
        recall: share of the 10 nearest by the store's exact search that the engine names; a copy of one counts as that one. None
            where a store has one sample alone.
        faiss: the same of the 10 nearest by FAISS, with its index Flat; what is as near to 1e-6 counts as that one.
        effort: how hard the engine has to search for that; None where there is no choice.
    """

    queries: int
    recall: float | None
    faiss: float | None
    effort: int | None


def agreement(copy: Copy, *, view: int, most: int | None, wanted: float, queries: int, seed: int) -> Agreement:
    """Measure how much an engine finds, with the least effort that reaches the recall that is wanted.

    Args:
        copy: the engine's, of a view of a store.
        view: which.
        most: the highest effort; None where there is no choice.
        wanted: recall.
        queries: how many samples to draw; fewer where there are fewer.
        seed: of the draw.
    """
    store = copy.store
    own = np.sort(drawn(store, seed)[:queries])
    top = min(TOP, len(store) - 1)
    if top == 0:
        return Agreement(len(own), None, None, most)
    asked = store.read(own, view=view)
    right = without(nearest(lambda: store.scan(view=view), asked, top + 1), own)
    named: dict[int | None, Neighbours] = {}

    def recall(effort: int | None) -> float:
        candidates, _ = copy.nearest(asked, top + 1, effort)
        ranked = nearest_of(candidates, lambda at: store.read(at, view=view), asked, top + 1)
        named[effort] = without(ranked, own)
        return float((named[effort].similarities >= right.similarities[:, -1:]).mean())

    effort, reached = (None, recall(None)) if most is None else least_effort(recall, most, wanted)
    last = _faiss_last(store, asked, own, top + 1, view)
    overlap = float((named[effort].similarities >= last - _ROUNDING).mean())
    return Agreement(len(own), reached, overlap, effort)


def _faiss_last(store: SearchableStore, asked: Vectors, own: Positions, count: int, view: int) -> Floats:
    """Return how near FAISS's exact search says the last of `count` nearest (n, 1) is, itself left out; block by block."""
    import faiss

    heap = faiss.ResultHeap(len(asked), count, keep_max=True)
    queries = unit_length(asked)
    for positions, block in store.scan(view=view):
        similarities, places = faiss.knn(
            queries, unit_length(block), min(count, len(block)), metric=faiss.METRIC_INNER_PRODUCT
        )
        heap.add_result(similarities, positions[places])
    heap.finalize()
    return without(Neighbours(heap.I, heap.D.astype(np.float64)), own).similarities[:, -1:]
