"""Making an index: which kind, trained on a sample of all rows, and how much it finds, measured against exact search."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedstore.analysis.exact_search import Neighbours, Positions, directions, nearest, nearest_of
from embedstore.errors import CorruptStoreError, SettingsError, StoreError
from embedstore.store.index import VectorIndex, read_faiss, reason, steps
from embedstore.store.index_file import FORMAT, IndexInfo, building, finished, publish
from embedstore.teachers.protocol import EMBEDDING

if TYPE_CHECKING:
    from embedstore.store.reading import StoreReader

Progress = Callable[[str, int, int], None]

EXACT_UP_TO = 150_000  # samples: a scan of so many takes some hundredths of a second
TOP = 10  # what the recall is of
_QUERIES = 512
_POINTS_PER_LIST = 40  # k-means is taught with; FAISS asks for 39 at least
_LEAST_POINTS = 1 << 14  # where there are few lists or none


def build_index(
    store: StoreReader,
    *,
    factory: str | None = None,
    memory: int | None = None,
    recall: float = 0.99,
    seed: int = 0,
    progress: Progress | None = None,
) -> IndexInfo | None:
    """Make the index of a store's plain views; see `EmbeddingStore.build_index`.

    Returns:
        What it is; None where none was made, since the store is small enough to be scanned.

    Raises:
        SettingsError: FAISS can't make such an index of these vectors, the memory is too small for any, or the recall is no
            share.
        StoreError: the store is empty, or the index can't be written.
        StoreLockedError: another process is making one.
    """
    if not 0 < recall <= 1:
        raise SettingsError(f"The recall is {recall}; ask for a share above 0, up to 1, such as 0.99.")
    if not len(store):
        raise StoreError(f"The store '{store.path}' has no samples yet; build it, then make the index.")
    if factory is None and len(store) <= EXACT_UP_TO:
        return None
    kinds = [factory] if factory is not None else choose_kinds(len(store), store.dim, memory)
    told = progress or (lambda step, done, total: None)
    with building(store.generation) as directory:
        rows = directory / "new.npy"
        with rows.open("wb") as file:
            np.save(file, store.rows, allow_pickle=False)
        made: list[tuple[IndexInfo, Path]] = []
        for number, kind in enumerate(kinds):
            vectors = directory / f"new-{number}.faiss"
            made.append((_made(store, kind, vectors, rows, recall=recall, seed=seed, told=told), vectors))
            if made[-1][0].recall >= recall:
                break
        info, vectors = max(made, key=lambda one: one[0].recall)
        publish(store.generation, vectors, rows, info)
    return info


def choose_kinds(count: int, dim: int, memory: int | None) -> list[str]:
    """Return FAISS's words for the indexes of `count` vectors that can be made within the memory, the best first.

    Best are quarter bytes, looked up for many vectors at once: an eighth of the store's own bytes, ten times as fast as
    float16 where neighbours are spread over many lists, and as good once a few candidates more are ranked by the store.
    Float16 is for where even those do not hold the right ones; half as many quarter bytes is for little memory.

    Raises:
        SettingsError: none can; the message says what the smallest takes.
    """
    lists = 2 ** max(0, round(math.log2(2 * math.sqrt(count))))
    needs = {}
    for kind, size in {**_quarter_bytes(dim, 2), "SQfp16": 2 * dim, **_quarter_bytes(dim, 4)}.items():
        # First there are points to learn from, in float32 and twice; then the lists are filled, with room to grow by half.
        points = min(count, max(lists * _POINTS_PER_LIST, _LEAST_POINTS))
        needs[f"IVF{lists},{kind}"] = 4 * dim * lists + max(8 * dim * points, count * (size + 8) * 3 // 2)
    fitting = [kind for kind, need in needs.items() if memory is None or need <= memory]
    if not fitting:
        raise SettingsError(
            f"An index of {count:,} vectors of {dim} numbers can't be made within {memory or 0:,} bytes; give "
            f"{min(needs.values()):,} or more, or search exactly."
        )
    return fitting[:2]


def _quarter_bytes(dim: int, share: int) -> dict[str, int]:
    """Return the code with one quarter byte for each `share` numbers, about, and its bytes."""
    parts = next(parts for parts in range(max(1, dim // share), 0, -1) if dim % parts == 0)
    return {f"PQ{parts}x4fs": (parts + 1) // 2}


def refinements(factory: str) -> tuple[int, ...]:
    """Return how many candidates for each answer to try to rank again: more where codes are coarser."""
    return (4, 6, 8, 12, 16) if re.search(r"PQ|PCA|ITQ|RaBitQ|SQ[1-6]|LSQ|RQ|RR", factory) else (1, 2, 4)


def _made(
    store: StoreReader, kind: str, vectors: Path, rows: Path, *, recall: float, seed: int, told: Progress
) -> IndexInfo:
    """Write an index to the file `vectors`; return what it is, measured."""
    _write(_filled(store, kind, seed, told), vectors)
    opened = read_faiss(vectors)  # from its file, as it will be used; the one in memory is gone by now
    if opened is None:
        raise SettingsError(f"FAISS can't read an index '{kind}' again; choose another, such as 'IVF1024,SQfp16'.")
    size, sha256 = finished(vectors)
    rows_size, rows_sha256 = finished(rows)
    info = IndexInfo(
        format=FORMAT,
        version=store.version,
        rows=len(store),
        row_total=store.row_total,
        space=store.fingerprint,
        output=EMBEDDING,
        dim=store.dim,
        metric="cosine",
        factory=kind,
        nprobe=None,
        refine=1,
        recall=0.0,
        wanted=recall,
        queries=min(len(store), _QUERIES),
        seed=seed,
        size=size,
        sha256=sha256,
        rows_size=rows_size,
        rows_sha256=rows_sha256,
    )
    return _measured(store, VectorIndex(opened, info, store.rows), steps(opened), told)


def _filled(store: StoreReader, factory: str, seed: int, told: Progress) -> Any:
    """Return the trained index of all samples, in memory."""
    import faiss

    try:
        index = faiss.index_factory(store.dim, factory, faiss.METRIC_INNER_PRODUCT)
        _seed(index, seed)
        if not index.is_trained:
            told("Learning the lists", 0, 1)
            points = max(_LEAST_POINTS, _POINTS_PER_LIST * (steps(index) or 0))
            index.train(directions(store.read(np.sort(_drawn(store, seed)[:points]))))
        done = 0
        told("Adding", done, len(store))
        for _, block in store.scan():
            index.add(directions(block))
            done += len(block)
            told("Adding", done, len(store))
    except RuntimeError as error:
        raise _impossible(factory, error) from error
    return index


def _drawn(store: StoreReader, seed: int) -> Positions:
    """Return all positions in a random order: the index learns from the first and is measured with the last."""
    return np.random.default_rng(seed % 2**63).permutation(len(store))


def _seed(index: Any, seed: int) -> None:
    import faiss

    while isinstance(index, faiss.IndexPreTransform):
        index = faiss.downcast_index(index.index)
    if isinstance(index, faiss.IndexIVF):
        index.cp.seed = seed % 2**31
    for trained in (index, getattr(index, "pq", index)):
        if hasattr(trained, "cp"):
            trained.cp.min_points_per_centroid = 1  # or FAISS prints that it would like more


def _write(index: Any, path: Path) -> None:
    import faiss

    try:
        faiss.write_index(index, str(path))
    except RuntimeError as error:
        raise StoreError(f"'{path}' can't be written; free some disk space, then run the command again.") from error


def _impossible(factory: str, error: BaseException) -> SettingsError:
    return SettingsError(
        f"FAISS can't make the index '{factory}' of this store ({reason(error)}); choose another, such as 'IVF1024,SQfp16'."
    )


def _measured(store: StoreReader, index: VectorIndex, most: int | None, told: Progress) -> IndexInfo:
    """Return what the index is, with the least nprobe that surely reaches the wanted recall, and the recall measured.

    The queries are stored samples, each left out of its own answers.
    """
    info, top = index.info, min(TOP, len(store) - 1)
    own = _drawn(store, info.seed)[-_QUERIES:]
    queries = store.read(own)
    try:
        index.search(queries[:1], 1, allowed=np.ones(len(store), bool))
    except CorruptStoreError as error:  # a kind that can't leave deleted samples out
        raise _impossible(info.factory, error.__cause__ or error) from error
    if top == 0:
        return replace(info, recall=1.0, queries=0)
    told("Measuring", 0, 1)
    right = _without(nearest(store.scan, queries, top + 1), own)

    for refine in refinements(info.factory):
        means: dict[int | None, float] = {}

        def surely(effort: int | None, refine: int = refine, means: dict[int | None, float] = means) -> float:
            candidates = index.search(queries, (top + 1) * refine, effort=effort)
            found = _without(nearest_of(candidates, store.read, queries, top + 1), own)
            # A copy of a right answer is as right.
            shares = (found.similarities >= right.similarities[:, -1:]).mean(axis=1)
            means[effort] = float(shares.mean())
            return means[effort] - 2 * float(shares.std()) / math.sqrt(len(own))  # other queries may find a little less

        effort, sure = (None, surely(None)) if most is None else least_effort(surely, most, info.wanted)
        if means[effort] > info.recall or sure >= info.wanted:
            info = replace(info, nprobe=effort, refine=refine, recall=means[effort])
        if sure >= info.wanted:
            break
    told("Measuring", 1, 1)
    return info


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


def _without(found: Neighbours, own: Positions) -> Neighbours:
    """Return answers without the query's own position, one fewer."""
    others = np.argsort(found.positions == own[:, None], axis=1, kind="stable")[:, :-1]
    return Neighbours(np.take_along_axis(found.positions, others, 1), np.take_along_axis(found.similarities, others, 1))
