"""How a light form sees samples, fitted to one training side: scorers for the study's folds, by the product's arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from prototype_parts.pictures import Pictures, Side
from prototype_parts.scorers import Flags, Scores

from embedstore.exports.light_file import in_bytes
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.summaries.codes import Codebook
from embedstore.teachers.reduction import Halves, projected
from embedstore.vectors import Vectors, unit_length

_AXES_EACH = 4  # of a byte of a code, as `compressed-own` has it


@dataclass(frozen=True)
class Views:
    """The vectors of all views of the pictures that a study is on.

    Attributes:
        row: sample id -> its row.
        vectors: (1 + views, n, d), the plain view first.
    """

    row: Mapping[str, int]
    vectors: npt.NDArray[np.float16]

    @classmethod
    def of(cls, store: EmbeddingStore, pictures: Pictures) -> Views:
        """Read them all."""
        at = store.positions([one.id for one in pictures.samples])
        read = [store.read(at, view=view).astype(np.float16) for view in range(store.views + 1)]
        return cls({one.id: row for row, one in enumerate(pictures.samples)}, np.stack(read))


@dataclass(frozen=True)
class Light:
    """The study's score in a light form: the cosine to the nearest kept defect minus that to the nearest kept good part.

    Attributes:
        points: (k, dims) directions that are kept, of unit length.
        of_good: (k,) which are of good parts.
        centre, axes: that a query is brought to them by; axes None where all numbers are kept.
        nbytes: of what is kept.
    """

    points: Vectors
    of_good: Flags
    centre: Halves
    axes: Halves | None
    nbytes: int

    @property
    def count(self) -> int:
        """How many directions."""
        return len(self.points)

    def scores(self, vectors: Vectors) -> Scores:
        """Return the differences of cosines (m,)."""
        cosine = projected(vectors, self.centre, self.axes) @ self.points.T
        return (cosine[:, ~self.of_good].max(axis=1) - cosine[:, self.of_good].max(axis=1)).astype(np.float64)


def own(side: Side, seed: int, *, seen: Views, views: int = 0, dims: int | None = None, int8: bool = False) -> Light:
    """Keep every sample's own direction in so many views, on all or some axes, as float16 or in bytes."""
    centre, axes = fitted(side, dims)
    rows = [seen.row[one.id] for one in side.samples]
    kept = [_rounded(projected(seen.vectors[view, rows], centre, axes), int8) for view in range(views + 1)]
    points = np.concatenate(kept)
    fitted_bytes = centre.nbytes + (0 if axes is None else axes.nbytes)
    nbytes = fitted_bytes + len(points) * points.shape[1] * (1 if int8 else 2)
    return Light(points, np.tile(~side.defect, views + 1), centre, axes, nbytes)


def coded(side: Side, seed: int, *, code_bytes: int) -> Light:
    """Keep a code of each sample's plain view, as `compressed-own` makes them; the axes are kept to ask by."""
    centre, axes = fitted(side, _AXES_EACH * code_bytes)
    vectors = side.training.read(np.arange(len(side.samples)))
    points, nbytes = coded_points(projected(vectors, centre, axes), code_bytes, seed)
    return Light(points, ~side.defect, centre, axes, nbytes + centre.nbytes + (0 if axes is None else axes.nbytes))


def coded_points(directions: Vectors, code_bytes: int, seed: int) -> tuple[Vectors, int]:
    """Return what codes of directions (n, k) say of them, and the bytes of codes and codebook."""
    book = Codebook.fitted(directions, code_bytes, seed)
    codes = book.encode(directions)
    return unit_length(book.decode(codes)), int(codes.nbytes + book.centroids.nbytes + book.parts.nbytes)


def fitted(side: Side, dims: int | None) -> tuple[Halves, Halves | None]:
    """Return centre and axes of a training side, the axes of a side being computed once."""
    centre = side.centre.astype("<f2")
    return centre, None if dims is None else side.axes[:, :dims].astype("<f2")


def _rounded(directions: Vectors, int8: bool) -> Vectors:
    return unit_length(in_bytes(directions)) if int8 else directions.astype(np.float16).astype(np.float32)
