"""Batch and reference together in one space: distances, and how far each picture lies from all pictures of other parts.

Both are made of all pictures alike, whichever are the batch, so that a batch drawn at random sees the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.analysis.drift.draws import Codes, Numbers
from embedstore.vectors import Vectors

AXES = 128  # of the largest spread, each scaled to the same
NEIGHBOURS = 5  # at least; see `neighbours_of`
_EXTRA, _ROUNDS = 16, 4  # of the subspace iteration


@dataclass(frozen=True)
class Space:
    """The n pictures of batch and reference.

    Attributes:
        products: (n, n) cosines.
        distances: (n, n) Euclidean between directions.
        apart: (n,) the distance to the k-th nearest picture of another part (see `neighbours_of`), where each of the axes of
            largest spread counts alike: what is rare shows in axes that most pictures hardly use.
    """

    products: npt.NDArray[np.float32]
    distances: npt.NDArray[np.float32]
    apart: Numbers


def neighbours_of(pictures: int) -> int:
    """Return how many neighbours a picture has to have near: more than a quarter of the batch.

    So no new kind that makes up less than that can vouch for itself.
    """
    return max(NEIGHBOURS, pictures // 4 + 1)


def space_of(vectors: Vectors, parts: Codes, neighbours: int, *, known: bool, seed: int) -> Space:
    """Compare pictures (n, d) at unit length with one another.

    Args:
        vectors: the pictures.
        parts: (n,) the part of each.
        neighbours: k; where there are fewer pictures of other parts, the farthest of them counts.
        known: whether all parts are known. Else pictures of the same part count as neighbours everywhere alike: passing over
            them on one side only would make the other side look crowded.
        seed: of the start of the search for axes.
    """
    products = vectors @ vectors.T
    distances = np.sqrt(np.maximum(0, 2 - 2 * products))
    np.fill_diagonal(distances, 0)
    scaled = whitened(vectors, parts, seed)
    squares = (scaled * scaled).sum(axis=1)
    away = np.maximum(0, squares[:, None] + squares[None, :] - 2 * (scaled @ scaled.T))
    away[parts[:, None] == parts[None, :] if known else np.eye(len(parts), dtype=bool)] = np.inf
    apart = np.partition(away, min(neighbours, len(parts)) - 1, axis=1)[:, min(neighbours, len(parts)) - 1]
    farthest = np.where(np.isfinite(away), away, 0).max(axis=1)
    return Space(products, distances, np.sqrt(np.minimum(apart, farthest)).astype(np.float64))


def whitened(vectors: Vectors, parts: Codes, seed: int) -> npt.NDArray[np.float32]:
    """Return coordinates (n, r) along the axes of largest spread, each of unit variance; r is 128, or what n and d allow.

    By subspace iteration (Halko, Martinsson, Tropp, arXiv 0909.4061). A picture weighs by one over the root of its part's
    pictures. Were all alike, axes would lean towards parts seen often, and those seen once would stand apart for that alone (13
    false alarms of 100 where 5 were asked for). Were all parts alike, a new kind seen once a part would become an axis of its
    own, and hide in it.
    """
    weights = (1 / np.sqrt(np.bincount(parts)[parts])).astype(np.float32)[:, None]
    weights /= weights.mean()
    centred = vectors - (weights * vectors).mean(axis=0)
    weighted = np.sqrt(weights) * centred
    count, dim = centred.shape
    axes = max(1, min(AXES, count // 4, dim))
    width = min(axes + _EXTRA, count, dim)
    basis = np.random.default_rng(seed).standard_normal((dim, width)).astype(np.float32)
    for _ in range(_ROUNDS):
        basis = np.linalg.qr(weighted.T @ (weighted @ np.linalg.qr(basis)[0]))[0]
    spread, turned = np.linalg.svd(weighted @ basis, full_matrices=False)[1:]
    kept = spread[:axes] > 1e-4 * max(float(spread[0]), 1e-12)  # an axis of rounding alone says nothing
    scaled = (centred @ basis) @ (turned[:axes][kept] / spread[:axes][kept][:, None]).T * np.float32(np.sqrt(count))
    return scaled.astype(np.float32) if scaled.shape[1] else np.zeros((count, 1), np.float32)
