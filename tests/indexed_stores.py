"""A store with an index, for the tests of both."""

import dataclasses
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from helpers import store_of, unit_vectors

from embedstore import EmbeddingStore

COUNT, DIM = 1200, 8
VECTORS = unit_vectors(5, COUNT, DIM) * np.float16(1.5)  # not of unit length, as imported ones may be
VECTORS[1::50] = VECTORS[::50]  # some copies
LABELS = ["rare" if number % 20 == 0 else "good" for number in range(COUNT)]
FACTORY = "IVF16,SQfp16"


@functools.cache
def _made() -> tempfile.TemporaryDirectory[str]:
    place = tempfile.TemporaryDirectory()
    with store_of(Path(place.name) / "store", VECTORS, labels=LABELS) as store:
        store.build_index(FACTORY)
    return place


def copy_of_indexed_store(place: Path) -> Path:
    """Return the path of a store of its own in a folder, with an index."""
    return Path(shutil.copytree(Path(_made().name) / "store", place / "store"))


def folder(path: Path) -> Path:
    """Return the folder of a store's index."""
    (found,) = path.glob("generations/*/index")
    return found


def cosines(store: EmbeddingStore, queries: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the cosine of each query with each sample, by NumPy."""
    rows, asked = store.vectors().astype(np.float64), np.asarray(queries, np.float64)
    lengths = np.linalg.norm(asked, axis=1)[:, None] * np.linalg.norm(rows, axis=1)
    return (asked @ rows.T) / np.where(lengths > 0, lengths, 1)


def queries_of(seed: int, count: int = 20) -> npt.NDArray[np.float32]:
    """Return queries (count, d) of any length."""
    return np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)


def everywhere(index: Any) -> None:
    """Have an opened index look into all lists, so that only its bookkeeping is left to be wrong."""
    index.info = dataclasses.replace(index.info, nprobe=16, refine=3, rare_nprobe=16, rare_refine=3)
