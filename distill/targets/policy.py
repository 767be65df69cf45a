"""What a target policy gets and gives. Targets come from training samples only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from embedstore import EmbeddingStore, Summary
from embedstore.vectors import Vectors, unit_length


@dataclass(frozen=True)
class TrainingSet:
    """The training samples, in a fixed order; policies know them by their position in it.

    Attributes:
        store: holds their vectors.
        positions: (n,) where they stand in the store.
        ids: (n,).
        labels: (n,); None where a sample has none.
        views: how many augmented views each has, beside the plain picture.
    """

    store: EmbeddingStore
    positions: npt.NDArray[np.int64]
    ids: list[str]
    labels: list[str | None]
    views: int

    @classmethod
    def from_store(cls, store: EmbeddingStore, positions: npt.NDArray[np.int64]) -> TrainingSet:
        """Take the samples at some positions of a store."""
        samples = [store.sample_at(int(at)) for at in positions]
        return cls(store, positions, [s.id for s in samples], [s.label for s in samples], store.views)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def centre(self) -> Vectors:
        """The mean (d,) of the plain vectors: vectors of one teacher lie in a narrow cone, so it is taken off first."""
        inside = np.zeros(len(self.store), bool)
        inside[self.positions] = True
        total = np.zeros(self.store.dim, np.float64)
        for at, vectors in self.store.scan():
            total += vectors[inside[at]].astype(np.float64).sum(axis=0)
        return (total / len(self)).astype(np.float32)

    def vectors(self, samples: npt.NDArray[np.int64], views: npt.NDArray[np.int64]) -> Vectors:
        """Return the stored vectors (m, d) of some samples, each in its own view."""
        result = np.empty((len(samples), self.store.dim), np.float32)
        for view in np.unique(views):
            chosen = views == view
            result[chosen] = self.store.read(self.positions[samples[chosen]], view=int(view))
        return result


@dataclass(frozen=True)
class Targets:
    """The targets of a batch.

    Attributes:
        vectors: (m, d) float32 of unit length, the centre taken off.
        known: (m,) which samples have a target.
        chosen: (m,) which of the policy's prototypes each target is; None where it has none.
    """

    vectors: Vectors
    known: npt.NDArray[np.bool_]
    chosen: npt.NDArray[np.int64] | None = None


class Policy(Protocol):
    """Gives targets.

    Attributes:
        dim: d, the dimension of the targets.
        prototypes: (k, d) what targets are chosen from, of unit length; None where every sample has its own.
    """

    dim: int
    prototypes: Vectors | None

    def targets(self, samples: npt.NDArray[np.int64], views: npt.NDArray[np.int64]) -> Targets:
        """Return the targets of some training samples, each in its own view."""
        ...


@dataclass(frozen=True)
class PolicyKind:
    """A policy that can be asked for by name.

    Attributes:
        fit: (training, summary, seed) -> policy; None means that nothing is aligned.
        strategy: the summary that it needs, if any.
    """

    fit: Callable[[TrainingSet, Summary | None, int], Policy | None]
    strategy: str | None = None


class PrototypePolicy:
    """A policy whose targets are one prototype per label."""

    def __init__(self, prototypes: Vectors, of_sample: npt.NDArray[np.int64]):
        self.prototypes: Vectors | None = unit_length(prototypes)
        self.dim = prototypes.shape[1]
        self._vectors = unit_length(prototypes)
        self._of_sample = of_sample  # -1: the sample has none

    def targets(self, samples: npt.NDArray[np.int64], views: npt.NDArray[np.int64]) -> Targets:
        """Return the prototypes of some samples; all views of a sample share it."""
        chosen = self._of_sample[samples]
        known = chosen >= 0
        return Targets(self._vectors[np.maximum(chosen, 0)], known, np.maximum(chosen, 0))
