"""Sums over shards: of each label's vectors, and of how they vary together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from embedstore.summaries.over_shards.shards import Read, Shard, Shards
from embedstore.vectors import Vectors

_PRODUCTS = 2**28  # bytes of products in one pass

Sums = npt.NDArray[np.float64]


def sums_by(numbers: npt.NDArray[np.integer], vectors: npt.NDArray[np.floating], count: int) -> Sums:
    """Return the sum (count, d) of the vectors (n, d) of each number (n,); exact, see `TrainingVectors.centre`."""
    sums = np.zeros((count, vectors.shape[1]))
    if len(numbers):
        order = np.argsort(numbers, kind="stable")
        found, starts = np.unique(numbers[order], return_index=True)
        sums[found] = np.add.reduceat(vectors[order].astype(np.float64), starts, axis=0)
    return sums


def label_sums(shard: Shard, read: Read, count: int, dim: int) -> Sums:
    """Step: the sum (labels, d) of each label's vectors."""
    total = np.zeros((count, dim))
    for at, vectors in shard.blocks(read):
        total += sums_by(shard.labels[at], vectors, count)
    return total


def label_means(shards: Shards, dim: int) -> tuple[Vectors, Vectors]:
    """Return each label's mean (labels, d), and the mean (d,) of all, as the one pass of `class_mean` gives them to the bit."""
    total = sum(shards.map("Means", label_sums, len(shards.labels), dim), np.zeros((len(shards.labels), dim)))
    means = (total / shards.counts[:, None]).astype(np.float32)
    return means, (total.sum(axis=0) / shards.counts.sum()).astype(np.float32)


def add_products(shard: Shard, read: Read, means: Vectors, wanted: npt.NDArray[np.bool_]) -> dict[int, Sums]:
    """Step: label -> sums (d, d) of products between dimensions of what is left of its vectors without its mean."""
    products: dict[int, Sums] = {}
    for label, _, vectors in shard.by_label(read, wanted):
        off = vectors.astype(np.float64) - means[label]
        products[label] = products.get(label, 0) + off.T @ off
    return products


def label_products(shards: Shards, means: Vectors, labels: npt.NDArray[np.int64]) -> Iterator[tuple[int, Sums]]:
    """Yield some labels and the sums (d, d) of `add_products`, as many in one pass as `_PRODUCTS` allows."""
    dim = means.shape[1]
    step = max(1, _PRODUCTS // (8 * dim * dim))
    for start in range(0, len(labels), step):
        some = labels[start : start + step]
        total = {label: np.zeros((dim, dim)) for label in some.tolist()}
        for part in shards.map("Spread", add_products, means, np.isin(np.arange(len(means)), some)):
            for label, products in part.items():
                total[label] += products
        yield from total.items()
