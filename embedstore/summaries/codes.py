"""Codes: vectors in a few bytes each, by product quantisation (Jégou et al. 2011), and what they decode to.

The axes are dealt to as many parts as a code has bytes; each byte says which of up to 256 centroids stands for the vector in
its part. Beyond 16 there is no more than one centroid for 16 vectors, so that a codebook takes at most half of its codes' bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.summaries.kmeans import centroids
from embedstore.vectors import Vectors, squared_distances

Numbers = npt.NDArray[np.uint8]

MOST_BYTES = 256  # of a code, since a part is told in one byte
_NAMES = ("of", "codes", "centroids", "parts")  # of the tensors that hold some codes
_MOST_CENTROIDS, _FEWEST_CENTROIDS, _VECTORS_EACH = 256, 16, 16


@dataclass(frozen=True)
class Codebook:
    """What the bytes of a code stand for.

    Attributes:
        centroids: (c, dims) float16, c up to 256: column j holds what axis j can be.
        parts: (dims,) uint8: which byte of a code says so of each axis.
    """

    centroids: npt.NDArray[np.float16]
    parts: Numbers

    @classmethod
    def fitted(cls, points: Vectors, code_bytes: int, seed: int) -> Codebook:
        """Fit codes of up to `code_bytes` bytes to points (n, dims), which come in an order that the caller has fixed."""
        parts = balanced_parts(points.var(axis=0, dtype=np.float64), code_bytes)
        count = min(_MOST_CENTROIDS, max(_FEWEST_CENTROIDS, len(points) // _VECTORS_EACH))
        found = [centroids(points[:, parts == part], count, seed) for part in range(int(parts.max()) + 1)]
        columns = np.zeros((max(map(len, found)), points.shape[1]), np.float16)
        for part, own in enumerate(found):
            columns[: len(own), parts == part] = own
        return cls(columns, parts)

    @property
    def dim(self) -> int:
        """The dimension of what is decoded."""
        return len(self.parts)

    @property
    def code_bytes(self) -> int:
        """How many bytes a code has."""
        return int(self.parts.max()) + 1

    def encode(self, points: Vectors) -> Numbers:
        """Return the codes (n, bytes) of points (n, dims): in each part the nearest centroid; of equals, the first."""
        codes = np.empty((len(points), self.code_bytes), np.uint8)
        for part in range(self.code_bytes):
            axes = self.parts == part
            codes[:, part] = squared_distances(points[:, axes], self.centroids[:, axes]).argmin(axis=1)
        return codes

    def decode(self, codes: Numbers) -> Vectors:
        """Return what codes (n, bytes) stand for, (n, dims)."""
        return self.centroids[codes[:, self.parts], np.arange(self.dim)].astype(np.float32)


@dataclass(frozen=True)
class Codes:
    """The codes of some samples in all their views.

    Attributes:
        of: (m,) int32 which samples, rising.
        codes: (m, views + 1, bytes) uint8.
        book: what they stand for.
    """

    of: npt.NDArray[np.int32]
    codes: Numbers
    book: Codebook

    @property
    def views(self) -> int:
        """How many augmented views each sample has a code of, beside the plain one."""
        return int(self.codes.shape[1]) - 1

    def taken(self, rows: npt.NDArray[np.int64]) -> Codes:
        """Return the codes of some of the samples, at rising rows (m,)."""
        return Codes(self.of[rows], self.codes[rows], self.book)

    @property
    def nbytes(self) -> int:
        """How many bytes all of it takes."""
        return self.nbytes_of(self.views)

    def nbytes_of(self, views: int) -> int:
        """Return how many bytes the plain picture and some of the views take, with the codebook and its float16 centroids."""
        each = (views + 1) * self.codes.shape[2] + self.of.itemsize
        return int(len(self.of) * each + self.book.centroids.nbytes + self.book.parts.nbytes)


def decoded(codes: Sequence[Codes], samples: npt.NDArray[np.integer], views: npt.NDArray[np.integer]) -> Vectors:
    """Return what the codes say of samples (m,), each in its own view: (m, dims), the dims of the longest code.

    A shorter code says nothing of the last axes, which are then 0; nothing is said of a sample without a code.
    """
    vectors = np.zeros((len(samples), max(one.book.dim for one in codes)), np.float32)
    for one in codes:
        row = np.minimum(np.searchsorted(one.of, samples), len(one.of) - 1)
        found = one.of[row] == samples
        vectors[found, : one.book.dim] = one.book.decode(one.codes[row[found], views[found]])
    return vectors


def codes_fit(codes: Sequence[Codes], samples: int, views: int, dim: int) -> bool:
    """Return whether codes fit together and each sample has one; a file may say anything.

    There may be codes of fewer views than `views`, and of fewer axes than the `dim` of the vectors, not of more.
    """
    return not codes or (
        all(_fit(one, views) and one.views == codes[0].views and one.book.dim <= dim for one in codes)
        and np.array_equal(np.sort(np.concatenate([one.of for one in codes])), np.arange(samples))
    )


def _fit(one: Codes, views: int) -> bool:
    codes, centroids, parts = one.codes, one.book.centroids, one.book.parts
    return (
        [part.dtype.name for part in (one.of, codes, centroids, parts)] == ["int32", "uint8", "float16", "uint8"]
        and [part.ndim for part in (one.of, codes, centroids, parts)] == [1, 3, 2, 1]
        and min(*codes.shape, *centroids.shape) > 0
        and codes.shape == (len(one.of), codes.shape[1], int(parts.max()) + 1)
        and codes.shape[1] <= views + 1
        and centroids.shape[1] == len(parts)
        and int(codes.max()) < len(centroids)
        and bool(np.isfinite(centroids).all() and (np.diff(one.of) > 0).all())
    )


def codes_to_tensors(codes: Sequence[Codes]) -> dict[str, npt.NDArray[Any]]:
    """Return codes as named tensors."""
    tensors: dict[str, npt.NDArray[Any]] = {}
    for number, one in enumerate(codes):
        parts: list[npt.NDArray[Any]] = [one.of, one.codes, one.book.centroids, one.book.parts]
        tensors |= {f"codes.{number}.{name}": part for name, part in zip(_NAMES, parts, strict=True)}
    return tensors


def codes_from_tensors(tensors: dict[str, npt.NDArray[Any]]) -> tuple[Codes, ...]:
    """Take codes out of named tensors; a KeyError where some of theirs are missing."""
    found: list[Codes] = []
    while f"codes.{len(found)}.of" in tensors:
        of, codes, centroids, parts = (tensors.pop(f"codes.{len(found)}.{name}") for name in _NAMES)
        found.append(Codes(of, codes, Codebook(centroids, parts)))
    return tuple(found)


def balanced_parts(variance: npt.NDArray[np.float64], count: int) -> Numbers:
    """Deal axes to up to `count` parts of about equally many, such that the variances of each have about the same product.

    The axis of the largest variance goes first, each to the part whose product is smallest so far: the eigenvalue
    allocation of OPQ (Ge et al. 2013).
    """
    dims = len(variance)
    count = min(count, dims)
    room = -(-dims // count)
    logs = np.log(np.maximum(variance, 1e-12 * max(variance.max(), 1e-12)))
    logs -= logs.min()  # so that an empty part is the smallest
    parts = np.empty(dims, np.uint8)
    sums, sizes = np.zeros(count), np.zeros(count, np.int64)
    for axis in np.argsort(-variance, kind="stable"):
        parts[axis] = part = int(np.where(sizes < room, sums, np.inf).argmin())
        sums[part] += logs[axis]
        sizes[part] += 1
    return parts
