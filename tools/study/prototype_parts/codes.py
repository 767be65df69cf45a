"""Every training sample, or prototypes, kept as codes: principal components, product quantisation, few bits a number."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.summaries.strategy import directions
from embedstore.vectors import Vectors
from prototype_parts.making import of_each_label
from prototype_parts.pictures import Side
from prototype_parts.scorers import Make, Nearest, decoded, prototype_bytes

_DRAWN = 200_000  # normal numbers that quantisers are fitted to


def principal_components(side: Side, seed: int, *, rank: int, whole_bytes: bool) -> Nearest:
    """Keep each sample's `rank` principal components, as float16 or as one byte each.

    Beside them the axes are kept as float16, and for bytes each component's largest size.
    """
    points = side.points
    rank = min(rank, *points.shape)
    axes = side.axes[:, :rank].astype(np.float16).astype(np.float32)
    components = points @ axes
    code_bytes = 2 * rank * points.shape[1]
    if whole_bytes:
        step = (np.abs(components).max(axis=0) / 127).astype(np.float16).astype(np.float32)
        components = (np.round(components / np.maximum(step, 1e-7)) * step).astype(np.float32)
        code_bytes += 2 * rank + components.size
    else:
        components = components.astype(np.float16).astype(np.float32)
        code_bytes += 2 * components.size
    return decoded(side, np.asarray(components @ axes.T, np.float32), side.training.labels, code_bytes)


def product_quantised(side: Side, seed: int, *, code: int, bits: int) -> Nearest:
    """Keep a product quantiser's code of each sample, `code` bytes, and its codebooks as float16 (Jégou et al. 2011).

    Where the dimensions can't be cut into equal parts, zeros are added.
    """
    import faiss

    parts, (count, dim) = 8 * code // bits, side.points.shape
    points = np.zeros((count, -(-dim // parts) * parts), np.float32)
    points[:, :dim] = side.points
    quantiser: Any = faiss.ProductQuantizer(points.shape[1], parts, bits)
    quantiser.cp.min_points_per_centroid = 1  # there are few samples; that is what is to be seen
    quantiser.cp.max_points_per_centroid = count
    quantiser.cp.seed = seed + 1
    quantiser.train(points)
    books = faiss.vector_to_array(quantiser.centroids).reshape(parts, 2**bits, -1)
    codes = quantiser.compute_codes(points)
    faiss.copy_array_to_vector(books.astype(np.float16).astype(np.float32).ravel(), quantiser.centroids)
    return decoded(side, quantiser.decode(codes)[:, :dim], side.training.labels, codes.size + 2 * books.size)


def few_bits(side: Side, seed: int, *, make: Make, bits: int) -> Nearest:
    """Keep the centred directions of prototypes as so many bits a number.

    A random rotation first makes the numbers of any direction look normal, so one quantiser, the best for a normal number
    (Lloyd 1982, Max 1960), serves all; the rotation comes from a fixed seed and takes no bytes. With one bit this is the
    code of RaBitQ (Gao and Long, arXiv 2405.12497).
    """
    vectors, labels = make(side, seed)
    turn, levels = _rotation(side.training.dim), normal_levels(bits)
    numbers = directions(vectors, side.centre) @ turn * np.float32(np.sqrt(len(turn)))
    codes = np.searchsorted((levels[1:] + levels[:-1]) / 2, numbers)
    return decoded(side, levels[codes] @ turn.T, labels, len(codes) * -(-len(turn) * bits // 8))


def few_bits_in_bytes_of(side: Side, seed: int, *, strategy: str, count: int, bits: int) -> Nearest:
    """Fill the bytes of `count` plain prototypes with more of them, of so many bits a number."""
    dim = side.training.dim
    more = count * prototype_bytes(dim) // (1 + -(-dim * bits // 8))
    return few_bits(side, seed, make=partial(of_each_label, strategy=strategy, count=more), bits=bits)


@cache
def _rotation(dim: int) -> Vectors:
    found, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((dim, dim)))
    return np.asarray(found, np.float32)


@cache
def normal_levels(bits: int) -> npt.NDArray[np.float32]:
    """Return the 2^bits levels of least squared error for a standard normal number, rising.

    Fitted to evenly spaced quantiles, alternating between borders halfway and levels at their cell's mean.
    """
    from scipy.stats import norm

    numbers = norm.ppf((np.arange(_DRAWN) + 0.5) / _DRAWN)
    sums = np.concatenate([[0.0], np.cumsum(numbers)])
    levels = norm.ppf((np.arange(2**bits) + 0.5) / 2**bits)
    for _ in range(1000):
        ends = np.concatenate([[0], np.searchsorted(numbers, (levels[1:] + levels[:-1]) / 2), [_DRAWN]])
        levels = np.diff(sums[ends]) / np.diff(ends)
    return np.asarray(levels, np.float32)
