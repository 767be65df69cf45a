"""A store of clustered samples, changes of it, and its updated summaries."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from helpers import store_of, unit_vectors

from embedstore import EmbeddingStore, Summary
from embedstore.summaries.updating import Renewal, update
from embedstore.vectors import unit_length

DIM, LIMIT = 12, 0.05
PARAMETERS: dict[str, dict[str, Any]] = {
    "sub-prototypes": {"k": 4},
    "rare-samples": {"share": 0.1, "k": 3},
    "medoids": {"k": 4},
    "random-samples": {"share": 0.1},
    "herding": {"share": 0.1},
    "class-distribution": {"rank": 3},
    "compressed-own": {"bytes": 2, "rare_bytes": 4},
}


def blobs(seed: int, count: int, centres: Iterable[int] = range(4)) -> npt.NDArray[np.float16]:
    """Return vectors in a few tight clusters, of unit length."""
    random, chosen = np.random.default_rng(seed), list(centres)
    middle = unit_vectors(100, 8, DIM).astype(np.float64)
    points = middle[random.choice(chosen, count)] + random.normal(scale=0.05, size=(count, DIM))
    return unit_length(points).astype(np.float16)


def make(path: Path, order: npt.NDArray[np.int64] | None = None, kinds: int = 4) -> EmbeddingStore:
    """Return a store of 120 samples of so many kinds, two of three `common`, one `other`, in an order of choice."""
    at = np.arange(120) if order is None else order
    plain, view = blobs(1, 120, range(kinds)), blobs(2, 120, range(kinds))
    ids = [f"sample {number:05d}" for number in range(120)]
    return store_of(
        path,
        np.stack([plain, view])[:, at],
        ids=[ids[number] for number in at],
        labels=["other" if number % 3 == 0 else "common" for number in at],
        groups=[f"part {number // 2}" for number in at],
        modes=["a" if number % 2 else "b" for number in at],
    )


def saved(store: EmbeddingStore, strategy: str, **parameters: Any) -> bytes:
    store.summarize(strategy, name="s", **PARAMETERS.get(strategy, {}) | parameters)
    data = store.look(lambda tables: tables.summary("s"))
    assert data is not None
    return data


def change(store: EmbeddingStore, *, seed: int = 7, centres: Iterable[int] = range(4), label: str = "common") -> None:
    """Six samples of a label come, four leave, and three have another picture."""
    with store.write() as writing:
        names = [f"new {number}" for number in range(6)]
        vectors = np.stack([blobs(seed, 6, centres), blobs(seed + 1, 6, centres)])
        writing.add(names, vectors, labels=[label] * 6, groups=[f"new part {number}" for number in range(6)])
        own = [one.id for one in store.samples if one.label == label]
        changed = np.stack([blobs(seed + 2, 3, centres), blobs(seed + 3, 3, centres)])
        writing.add(own[:3], changed, replace=True)
        writing.delete(own[3:7])


def renewed(store: EmbeddingStore, data: bytes, **options: Any) -> Renewal:
    return update(store, data, **{"limit": LIMIT, "version": store.version} | options)


def summary_of(renewal: Renewal) -> Summary:
    assert renewal.summary is not None
    return renewal.summary
