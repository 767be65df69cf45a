"""Making an index: which kind, and learnt from a sample of all rows."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedstore.analysis.exact_search import directions
from embedstore.analysis.index_measuring import TOP, Progress, drawn, measured
from embedstore.errors import CorruptStoreError, EmbedstoreError, SettingsError, StoreError, StoreLockedError
from embedstore.store.index import VectorIndex, read_faiss, reason, steps
from embedstore.store.index_file import FORMAT, IndexInfo, building, finished, publish
from embedstore.store.layout import read_current
from embedstore.teachers.protocol import EMBEDDING

if TYPE_CHECKING:
    from embedstore.store.reading import StoreReader

EXACT_UP_TO = 150_000  # samples: a scan of so many takes some hundredths of a second
_POINTS_PER_LIST = 40  # k-means is taught with; FAISS asks for 39 at least
_LEAST_POINTS = 1 << 14  # where there are few lists or none


def build_index(
    store: StoreReader,
    *,
    factory: str | None = None,
    memory: int | None = None,
    recall: float = 0.99,
    rare_recall: float = 0.9,
    seed: int = 0,
    progress: Progress | None = None,
) -> IndexInfo | None:
    """Make the index of a store's plain views; see `EmbeddingStore.build_index`.

    Returns:
        What it is; None where none was made, since the store is small enough to be scanned.

    Raises:
        SettingsError: FAISS can't make such an index of these vectors, the memory is too small for any or for this one, or
            a recall is no share.
        StoreError: the store is empty, the index can't be written, or a compaction replaced the rows meanwhile.
        StoreLockedError: another process is making one.
    """
    for name, wanted in (("recall", recall), ("recall for rare samples", rare_recall)):
        if not 0 < wanted <= 1:
            raise SettingsError(f"The {name} is {wanted}; ask for a share above 0, up to 1, such as 0.99.")
    if not len(store):
        raise StoreError(f"The store '{store.path}' has no samples yet; build it, then make the index.")
    if factory is None and len(store) <= EXACT_UP_TO:
        return None
    kinds = [factory] if factory is not None else choose_kinds(len(store), store.dim, memory)
    told = progress or (lambda step, done, total: None)
    generation = store.generation
    try:
        with building(generation) as directory:
            rows = directory / "new.npy"
            with rows.open("wb") as file:
                np.save(file, store.rows, allow_pickle=False)
            made: list[tuple[IndexInfo, Path]] = []
            for number, kind in enumerate(kinds):
                vectors = directory / f"new-{number}.faiss"
                start = _started(store, kind, recall, rare_recall, seed)
                made.append((_made(store, start, vectors, rows, memory=memory, told=told), vectors))
                if _lacks(made[-1][0]) == 0:
                    break
            info, vectors = min(made, key=lambda one: _lacks(one[0]))
            publish(generation, vectors, rows, info)
    except StoreLockedError:
        raise
    except (OSError, EmbedstoreError) as error:
        _refuse_replaced(store, generation, error)
        raise
    _refuse_replaced(store, generation, None)
    return info


def suggested(count: int) -> str:
    """Return FAISS's word for an index that can be made of so many vectors."""
    return "Flat" if count < 1000 else f"IVF{_lists(count)},SQfp16"


def _refuse_replaced(store: StoreReader, generation: Path, error: BaseException | None) -> None:
    if read_current(store.path).resolve() != generation.resolve():
        raise StoreError(
            f"A compaction replaced the rows of '{store.path}' meanwhile; run the command again."
        ) from error


def _lacks(info: IndexInfo) -> float:
    """Return by how much an index misses what was wanted of it."""
    return max(0.0, info.wanted - info.recall) + max(0.0, info.rare_wanted - info.rare_recall)


def _lists(count: int) -> int:
    # Comparing each vector with all of them makes the work grow with n^1.5. HNSW to choose lists would not, but of 10 million
    # synthetic vectors IVF8192_HNSW32 found .89 of the neighbours, looking into 512 lists, where .99 were wanted.
    return int(2 ** max(0, round(math.log2(2 * math.sqrt(count)))))


def choose_kinds(count: int, dim: int, memory: int | None) -> list[str]:
    """Return FAISS's words for the indexes of `count` vectors that can be made within the memory, the best first.

    Best are quarter bytes, looked up for many vectors at once: an eighth of the store's own bytes, ten times as fast as
    float16 where neighbours are spread over many lists, and as good once a few candidates more are ranked by the store.
    Float16 is for where even those do not hold the right ones; half as many quarter bytes is for little memory.

    Raises:
        SettingsError: none can; the message says what the smallest takes.
    """
    lists = _lists(count)
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


def _started(store: StoreReader, kind: str, recall: float, rare_recall: float, seed: int) -> IndexInfo:
    """Return what is known of an index before it is made."""
    return IndexInfo(
        format=FORMAT,
        version=store.version,
        rows=len(store),
        row_total=store.row_total,
        space=store.fingerprint,
        output=EMBEDDING,
        dim=store.dim,
        metric="cosine",
        factory=kind,
        top=TOP,
        nprobe=None,
        refine=1,
        recall=0.0,
        wanted=recall,
        queries=0,
        rare_below=None,
        rare_nprobe=None,
        rare_refine=1,
        rare_recall=0.0,
        rare_wanted=rare_recall,
        rare_queries=0,
        seed=seed,
        size=0,
        sha256="",
        rows_size=0,
        rows_sha256="",
    )


def _made(
    store: StoreReader, info: IndexInfo, vectors: Path, rows: Path, *, memory: int | None, told: Progress
) -> IndexInfo:
    """Write an index to the file `vectors`; return what it is, measured."""
    _write(_filled(store, info.factory, info.seed, told), vectors)
    opened = read_faiss(vectors)  # from its file, as it will be used; the one in memory is gone by now
    if opened is None:
        raise SettingsError(
            f"FAISS can't read an index '{info.factory}' again; choose another, such as '{suggested(len(store))}'."
        )
    size, sha256 = finished(vectors)
    if memory is not None and size > memory:
        raise SettingsError(
            f"The index '{info.factory}' takes {size:,} bytes, more than the memory of {memory:,}; give more, or leave the "
            "choice of the kind to the command."
        )
    rows_size, rows_sha256 = finished(rows)
    info = replace(info, size=size, sha256=sha256, rows_size=rows_size, rows_sha256=rows_sha256)
    index = VectorIndex(opened, info, store.rows)
    try:
        index.search(store.read(np.arange(1)), 1, allowed=np.ones(len(store), bool))
    except CorruptStoreError as error:  # a kind that can't be asked for some of its vectors only
        raise _impossible(info.factory, len(store), error.__cause__ or error) from error
    return measured(store, index, opened, told, memory)


def _filled(store: StoreReader, factory: str, seed: int, told: Progress) -> Any:
    """Return the trained index of all samples, in memory."""
    import faiss

    try:
        index = faiss.index_factory(store.dim, factory, faiss.METRIC_INNER_PRODUCT)
        kept = _seed(index, seed)
        if not index.is_trained:
            told("Learning the lists", 0, 1)
            points = max(_LEAST_POINTS, _POINTS_PER_LIST * (steps(index) or 0))
            index.train(directions(store.read(np.sort(drawn(store, seed)[:points]))))
        del kept
        done = 0
        told("Adding", done, len(store))
        for _, block in store.scan():
            index.add(directions(block))
            done += len(block)
            told("Adding", done, len(store))
    except RuntimeError as error:
        raise _impossible(factory, len(store), error) from error
    return index


def _seed(index: Any, seed: int) -> list[Any]:
    """Have an index learn by the seed, and print nothing; returns what must live as long as it learns."""
    import faiss

    kept: list[Any] = []
    while isinstance(index, faiss.IndexPreTransform):
        chain: Any = index.chain
        for at in range(chain.size()):
            step = faiss.downcast_VectorTransform(chain.at(at))
            if isinstance(step, faiss.OPQMatrix) and step.d_out % step.M == 0:  # else FAISS says so when it learns
                kept.append(faiss.ProductQuantizer(step.d_out, step.M, 8))
                step.pq = kept[-1]
        index = faiss.downcast_index(index.index)
    if isinstance(index, faiss.IndexIVF):
        index.cp.seed = seed % 2**31
    for learning in (index, getattr(index, "pq", None), *kept):
        if hasattr(learning, "cp"):
            learning.cp.min_points_per_centroid = 1  # or FAISS prints that it would like more
    return kept


def _write(index: Any, path: Path) -> None:
    import faiss

    try:
        faiss.write_index(index, str(path))
    except RuntimeError as error:
        raise StoreError(f"'{path}' can't be written; free some disk space, then run the command again.") from error


def _impossible(factory: str, count: int, error: BaseException) -> SettingsError:
    return SettingsError(
        f"FAISS can't make the index '{factory}' of this store ({reason(error)}); choose another, such as '{suggested(count)}'."
    )
