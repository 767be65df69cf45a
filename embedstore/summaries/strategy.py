"""What a strategy gets and gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from embedstore.vectors import Vectors

if TYPE_CHECKING:
    from embedstore.store.embedding_store import EmbeddingStore


@dataclass(frozen=True)
class TrainingVectors:
    """The labelled samples that a summary may see.

    Attributes:
        ids: of the samples, (n,).
        labels: of the samples, (n,).
        groups: the part that each shows, (n,); a sample without a group has one of its own.
        blocks: yields (positions (m,), vectors (m, d) float16) over all of them, in one pass, plain view.
        read: positions (m,) -> vectors (m, d) float32, plain view.
    """

    ids: list[str]
    labels: list[str]
    groups: list[str]
    blocks: Callable[[], Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float16]]]]
    read: Callable[[npt.NDArray[np.int64]], Vectors]
    dim: int

    @classmethod
    def from_store(cls, store: EmbeddingStore, positions: npt.NDArray[np.int64]) -> TrainingVectors:
        """Take the samples at some positions of a store; those must have labels."""
        samples = [store.sample_at(int(position)) for position in positions]
        inside = np.full(len(store), -1, np.int64)
        inside[positions] = np.arange(len(positions))

        def blocks() -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float16]]]:
            for at, vectors in store.scan():
                wanted = inside[at] >= 0
                if wanted.any():
                    yield inside[at][wanted], vectors[wanted]

        return cls(
            ids=[sample.id for sample in samples],
            labels=[sample.label or "" for sample in samples],
            groups=[sample.part for sample in samples],
            blocks=blocks,
            read=lambda at: store.read(positions[at]),
            dim=store.dim,
        )


@dataclass(frozen=True)
class Prototypes:
    """What a strategy found.

    Attributes:
        vectors: (k, d) float32.
        labels: (k,).
        serving: (n,) index of the prototype that speaks for each training sample.
        fitted: (n,) which training samples the vectors were made from.
    """

    vectors: Vectors
    labels: list[str]
    serving: npt.NDArray[np.int64]
    fitted: npt.NDArray[np.bool_]


# (training, seed, its own parameters by name) -> Prototypes; deterministic for a seed, independent of row order and of
# how the blocks are cut.
Strategy = Callable[..., Prototypes]
