"""The rows that every system stores, the queries that it is asked, and what the right answers are.

A vector is drawn so: one of `clusters` centres, which share a common direction (embeddings lie in a narrow cone), plus a
step within one of `bases` random flat subspaces of `latent` dimensions, plus small noise in all dimensions; then scaled to
length 1 and rounded to float16, so that every system holds the same numbers. Queries come from the same generator, are not
stored and not rounded. Labels and machines are drawn apart from the vectors.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

CHUNK = 16_384  # rows at a time, in the generator and in the search for the right answers
LABELS = {"good": 0.9, "scratch": 0.07, "dent": 0.02, "crack": 0.01}
MACHINES = ("m0", "m1", "m2", "m3", "m4")  # deleting one of them deletes a fifth of the rows
VALUES = {"label": list(LABELS), "machine": list(MACHINES)}

Vectors = npt.NDArray[Any]


@dataclass(frozen=True)
class Generator:
    """How the vectors are drawn; `latent` is the intrinsic dimension of each cluster.

    Attributes:
        dim: numbers in a vector.
        latent: dimensions of the subspace in which a cluster spreads.
        clusters: how many centres.
        bases: how many different subspaces the clusters share.
        common: length of the direction that all share.
        between: length of a centre beside it (about).
        within: length of a step within the subspace (about).
        noise: length of the noise in all dimensions (about).
        seed: of everything.
    """

    dim: int = 512
    latent: int = 32
    clusters: int = 500
    bases: int = 16
    common: float = 1.0
    between: float = 0.4
    within: float = 0.5
    noise: float = 0.1
    seed: int = 0

    def chunk(self, number: int, count: int) -> npt.NDArray[np.float32]:
        """Return `count` vectors (count, dim) of unit length; `number` seeds the draw, so any chunk can be drawn alone."""
        fixed = np.random.default_rng([self.seed, 1])
        common = _directions(fixed, (self.dim,))
        centres = self.common * common + self.between * _directions(fixed, (self.clusters, self.dim))
        axes = [np.linalg.qr(fixed.standard_normal((self.dim, self.latent)))[0].T for _ in range(self.bases)]
        rng = np.random.default_rng([self.seed, 2, number])
        cluster = rng.integers(0, self.clusters, count)
        drawn = rng.standard_normal((count, self.dim), np.float32) * np.float32(self.noise / self.dim**0.5)
        steps = rng.standard_normal((count, self.latent), np.float32) * np.float32(self.within / self.latent**0.5)
        drawn += centres.astype(np.float32)[cluster]
        for base, axis in enumerate(axes):
            chosen = cluster % self.bases == base
            drawn[chosen] += steps[chosen] @ axis.astype(np.float32)
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        return drawn


def _directions(rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    drawn = rng.standard_normal(shape)
    drawn /= np.linalg.norm(drawn, axis=-1, keepdims=True)
    return drawn


@dataclass(frozen=True)
class Rows:
    """The rows of one run, in a folder: vectors as one `.npy` file, the rest made from the row numbers.

    Attributes:
        folder: holds `vectors.npy` (count, dim) float16, `queries.npy` and `truth.npz`.
        count: how many of them.
        seed: of labels and machines.
    """

    folder: Path
    count: int
    seed: int = 0

    @cached_property
    def vectors(self) -> Vectors:
        """All vectors (count, dim) float16, mapped, not read."""
        mapped: Vectors = np.load(self.folder / "vectors.npy", mmap_mode="r")
        return mapped[: self.count]

    @cached_property
    def queries(self) -> npt.NDArray[np.float32]:
        """All queries (n, dim); the last `TUNING` of them are for tuning only."""
        queries: npt.NDArray[np.float32] = np.load(self.folder / "queries.npy")
        return queries

    def ids(self) -> list[str]:
        """Return the id of each row: a path, as an image folder would give."""
        return [f"line-{n % 7}/2026-03-{n % 28 + 1:02d}/part-{n:08d}.png" for n in range(self.count)]

    def labels(self) -> list[str]:
        """Return the label of each row, drawn with the shares in `LABELS`."""
        names = list(LABELS)
        return [names[one] for one in self._drawn["label"]]

    def groups(self) -> list[str]:
        """Return the group of each row: three pictures show one part."""
        return [f"part {n // 3:07d}" for n in range(self.count)]

    def machines(self) -> list[str]:
        """Return the attribute `machine` of each row, one of `MACHINES`."""
        return [MACHINES[one] for one in self._drawn["machine"]]

    @cached_property
    def _drawn(self) -> dict[str, npt.NDArray[np.int64]]:
        rng = np.random.default_rng([self.seed, 3])
        labels = rng.choice(len(LABELS), self.count, p=list(LABELS.values()))
        return {"label": labels, "machine": rng.integers(0, len(MACHINES), self.count)}

    def mask(self, where: Mapping[str, str]) -> npt.NDArray[np.bool_]:
        """Return which rows have the given label or machine, (count,)."""
        passes = np.ones(self.count, bool)
        for field, value in where.items():
            passes &= self._drawn[field] == VALUES[field].index(value)
        return passes

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Yield (start, stop) of chunks in row order."""
        for start in range(0, self.count, CHUNK):
            yield start, min(start + CHUNK, self.count)


TUNING = 100  # queries on which peers and store may choose their settings; recall is told on the others


def make_rows(folder: Path, count: int, generator: Generator, queries: int) -> Rows:
    """Draw vectors and queries into a folder, chunk by chunk.

    Args:
        folder: where.
        count: rows.
        generator: how they are drawn.
        queries: held-out queries beside the `TUNING` ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = Rows(folder, count, generator.seed)
    written = np.lib.format.open_memmap(
        folder / "vectors.npy", mode="w+", dtype=np.float16, shape=(count, generator.dim)
    )
    for number, (start, stop) in enumerate(rows.chunks()):
        written[start:stop] = generator.chunk(number + 1, stop - start)
    written.flush()
    np.save(folder / "queries.npy", generator.chunk(0, queries + TUNING))
    return rows


def true_scores(rows: Rows, filters: Mapping[str, Mapping[str, str]], top: int) -> dict[str, npt.NDArray[np.float32]]:
    """Return for each filter the inner product of each query with its `top`-th right answer, (queries,).

    An answer is right when its inner product reaches that one. Where fewer rows pass the filter, it is -inf.
    """
    queries, vectors = rows.queries, rows.vectors
    masks = {name: rows.mask(where) for name, where in filters.items()}
    best = {name: np.full((len(queries), top), -np.inf, np.float32) for name in filters}
    for start, stop in rows.chunks():
        scores = queries @ vectors[start:stop].astype(np.float32).T
        for name, mask in masks.items():
            chosen = scores[:, mask[start:stop]]
            kept = np.partition(chosen, -top, axis=1)[:, -top:] if chosen.shape[1] > top else chosen
            joined = np.concatenate([best[name], kept], axis=1)
            best[name] = np.partition(joined, -top, axis=1)[:, -top:]
    return {name: found.min(axis=1) for name, found in best.items()}


def recall(
    rows: Rows, queries: Vectors, answers: npt.NDArray[np.int64], needed: Vectors, passes: npt.NDArray[np.bool_]
) -> float:
    """Return the share of right answers among those wanted (no more than pass the filter), averaged over queries.

    Args:
        rows: what was searched.
        queries: (n, dim) float32.
        answers: (n, top) row numbers, -1 where there was no answer. The same row twice counts once.
        needed: (n,) from `true_scores`.
        passes: (count,) which rows pass the filter; another row is never right.
    """
    # Rounding to float16 leaves lengths off by about 2.5e-4 / sqrt(dim), so that inner product, cosine and distance may order
    # two rows differently that are nearer to each other than a few times that. Each order is right.
    tie = 1e-3 / queries.shape[1] ** 0.5
    shares, wanted = [], min(answers.shape[1], int(passes.sum()))
    for query, found, least in zip(queries, answers, needed, strict=True):
        chosen = np.unique(found[found >= 0])
        chosen = chosen[passes[chosen]]
        scores = rows.vectors[chosen].astype(np.float32) @ query
        shares.append(np.count_nonzero(scores >= least - tie) / wanted)
    return float(np.mean(shares))


def intrinsic_dimension(rows: Rows, *, sample: int = 500, nearest: int = 20) -> float:
    """Return the intrinsic dimension that the stored vectors show, by the maximum likelihood of Levina and Bickel (2004).

    Args:
        rows: what is measured.
        sample: rows whose neighbours are looked at, spread evenly.
        nearest: neighbours of each; their inverse estimates are averaged, as MacKay and Ghahramani proposed.
    """
    chosen = np.linspace(0, rows.count - 1, min(sample, rows.count)).astype(np.int64)
    points = rows.vectors[chosen].astype(np.float32)
    best = np.full((len(points), nearest + 1), -np.inf, np.float32)
    for start, stop in rows.chunks():
        scores = points @ rows.vectors[start:stop].astype(np.float32).T
        joined = np.concatenate([best, scores], axis=1)
        best = np.partition(joined, -nearest - 1, axis=1)[:, -nearest - 1 :]
    distances = np.sqrt(np.maximum(2 - 2 * np.sort(best, axis=1)[:, ::-1][:, 1:].astype(np.float64), 1e-12))
    logs = np.log(distances[:, -1:] / distances[:, :-1])
    return float((nearest - 2) / logs.sum(axis=1).mean())
