"""A store of known parts, and batches of which the right answer is known."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from helpers import store_of

from embedstore import EmbeddingStore, Sample
from embedstore.analysis.drift import Batch
from embedstore.vectors import Vectors, unit_length

DIM = 24
STORE_PARTS = 120
AXES = {"good": np.eye(DIM)[0], "crack": np.eye(DIM)[1]}


def parts(
    count: int, seed: int, *, cracks: float = 0.3, name: str = "part"
) -> tuple[npt.NDArray[np.float64], list[str], list[str]]:
    """Return vectors, labels and groups of some parts of two or three pictures each, drawn from one population."""
    rng = np.random.default_rng(seed)
    vectors, labels, groups = [], [], []
    for part in range(count):
        label = "crack" if rng.random() < cracks else "good"
        shape = AXES[label] + 0.15 * rng.normal(size=DIM)
        for _ in range(2 + part % 2):
            vectors.append(shape + 0.05 * rng.normal(size=DIM))
            labels.append(label)
            groups.append(f"{name} {part}")
    return np.stack(vectors), labels, groups


def make(path: Path, order: Sequence[int] | None = None, **changed: Sequence[Any]) -> EmbeddingStore:
    """Return the store of 120 parts, its rows in an order of choice."""
    vectors, labels, groups = parts(STORE_PARTS, 0)
    rows = np.arange(len(labels)) if order is None else np.asarray(order)
    ids = [f"{group}/{at:03d}.png" for at, group in enumerate(groups)]
    fields = {"ids": ids, "labels": labels, "groups": groups, **changed}
    return store_of(
        path, unit_length(vectors)[rows], **{name: [values[at] for at in rows] for name, values in fields.items()}
    )


def batch(vectors: npt.ArrayLike, groups: Sequence[str | None]) -> Batch:
    """Return a batch of vectors."""
    rows: Vectors = np.asarray(vectors, np.float32)
    samples = [Sample(f"new {at:03d}.png", f"new {at:03d}.png", group=group) for at, group in enumerate(groups)]
    return Batch("batch", samples, rows)


def fresh(seed: int = 1, count: int = 30, **how: Any) -> Batch:
    """Return new parts of the same population."""
    vectors, _, groups = parts(count, 1000 + seed, name="new", **how)
    return batch(vectors, groups)
