"""What a strategy gets and gives."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from heapq import nsmallest
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from embedstore.images import part_of
from embedstore.summaries.codes import Codes
from embedstore.vectors import Vectors, unit_length
from embedstore.verdicts import VERDICT

if TYPE_CHECKING:
    from embedstore.store.embedding_store import EmbeddingStore
    from embedstore.summaries.over_shards.shards import Place, Progress, ShardEngine, Shards

Positions = npt.NDArray[np.int64]

# Bytes of a label's plain vectors as float32: what is more is summarised over shards, not gathered. Gathered, with all that is
# made of them, they take about eight times as much.
MOST_GATHERED = 2**28
_AT_ONCE = 4096  # vectors


@dataclass(frozen=True)
class TrainingVectors:
    """The labelled samples that a summary may see.

    Attributes:
        ids: of the samples, (n,).
        labels: of the samples, (n,).
        groups: the part that each shows, (n,); a sample without a group has one of its own.
        blocks: view -> yields (positions (m,), vectors (m, d) float16) over all of them, in one pass.
        read: positions (m,) -> vectors (m, d) float32, plain view.
        embed_text: texts (m) -> vectors (m, d) of unit length by the teacher's text tower.
        dim: d.
        views: how many augmented views each has, beside the plain one.
        rare: positions (r,) of those that a person called rare and real.
        known_centre: what `centre` is, where that is known already, as of one label's samples among others.
        known_near: what `near` is, likewise.
        place: the store that holds them; None where they are in none.
        rows: (n,) of that store, that each is in.
        engine: what to map steps over shards with, where a person asked for one.
        progress: hears how far each pass over shards is.
    """

    ids: list[str]
    labels: list[str]
    groups: list[str]
    blocks: Callable[[int], Iterator[tuple[Positions, npt.NDArray[np.float16]]]]
    read: Callable[[Positions], Vectors]
    embed_text: Callable[[list[str]], Vectors]
    dim: int
    views: int = 0
    rare: Positions = field(default_factory=lambda: np.zeros(0, np.int64))
    known_centre: Vectors | None = None
    known_near: Mapping[str, float | None] | None = None
    place: Place | None = None
    rows: Positions = field(default_factory=lambda: np.zeros(0, np.int64))
    engine: ShardEngine | None = None
    progress: Progress | None = None

    @classmethod
    def from_store(
        cls,
        store: EmbeddingStore,
        positions: Positions,
        engine: ShardEngine | None = None,
        progress: Progress | None = None,
    ) -> TrainingVectors:
        """Take the samples at some positions of a store; those must have labels."""
        from embedstore.summaries.over_shards.shards import Place

        names = ("id", "label", "group", f"attribute:{VERDICT}")
        ids, labels, groups, verdicts = (store.text_field(name)[positions].to_list() for name in names)
        inside = np.full(len(store), -1, np.int64)
        inside[positions] = np.arange(len(positions))

        def blocks(view: int) -> Iterator[tuple[Positions, npt.NDArray[np.float16]]]:
            for at, vectors in store.scan(view=view):
                wanted = inside[at] >= 0
                if wanted.any():
                    yield inside[at][wanted], vectors[wanted]

        return cls(
            ids=[one or "" for one in ids],
            labels=[label or "" for label in labels],
            groups=[part_of(one or "", group) for one, group in zip(ids, groups, strict=True)],
            blocks=blocks,
            read=lambda at: store.read(positions[at]),
            embed_text=store.embed_text,
            dim=store.dim,
            views=store.views,
            rare=np.flatnonzero([verdict == "rare" for verdict in verdicts]),
            place=Place(store.path.absolute(), store.version, store.generation.name),
            rows=store.rows[positions],
            engine=engine,
            progress=progress,
        )

    @cached_property
    def shards(self) -> Shards | None:
        """The same samples cut into shards, where their vectors are not to be gathered; None where they are.

        They are not where a person asked for an engine, or a label has more than `MOST_GATHERED` bytes of them.
        """
        from embedstore.summaries.over_shards.shards import InProcess, Shards

        most = 4 * self.dim * max(map(len, self.members.values()))
        if self.place is None or (self.engine is None and most <= MOST_GATHERED):
            return None
        return Shards(self, self.engine or InProcess())

    @cached_property
    def members(self) -> dict[str, Positions]:
        """The samples of each label, labels and members sorted, so that the order of rows decides nothing."""
        found: dict[str, list[int]] = {label: [] for label in sorted(set(self.labels))}
        for at in sorted(range(len(self.ids)), key=self.ids.__getitem__):
            found[self.labels[at]].append(at)
        return {label: np.array(positions, np.int64) for label, positions in found.items()}

    @cached_property
    def centre(self) -> Vectors:
        """The mean (d,) of the plain vectors, to be taken off before directions are compared.

        The sum is exact, so it does not depend on the order of rows or on block sizes: stored components are float16 of
        magnitude up to 1, that is multiples of 2^-24, and float64 adds more than 10^8 of those without rounding.
        """
        if self.known_centre is not None:
            return self.known_centre
        if self.shards is not None:
            from embedstore.summaries.over_shards.sums import label_means

            return label_means(self.shards, self.dim)[1]
        total = np.zeros(self.dim, np.float64)
        for _, vectors in self.blocks(0):
            total += vectors.astype(np.float64).sum(axis=0)
        return (total / len(self.ids)).astype(np.float32)

    @cached_property
    def near(self) -> Mapping[str, float | None]:
        """Each label's near distance; see `nearness`."""
        if self.known_near is not None:
            return self.known_near
        from embedstore.summaries import nearness
        from embedstore.summaries.over_shards import near

        return nearness.near_distances(self) if self.shards is None else near.near_distances(self, self.shards)

    def total(self, samples: Positions) -> npt.NDArray[np.float64]:
        """Return the sum (d,) of some samples' plain vectors, read a part at a time; exact, see `centre`."""
        total = np.zeros(self.dim)
        for start in range(0, len(samples), _AT_ONCE):
            total += self.read(samples[start : start + _AT_ONCE]).astype(np.float64).sum(axis=0)
        return total

    def directions(self, samples: Positions) -> Vectors:
        """Return `directions` (m, d) of some samples' plain vectors, read a part at a time, so that nothing wider is whole."""
        found = np.empty((len(samples), self.dim), np.float32)
        for start in range(0, len(samples), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            found[part] = directions(self.read(samples[part]), self.centre)
        return found

    def only(self, label: str, centre: Vectors) -> TrainingVectors:
        """Return the samples of one label, sorted by id, with the centre (d,) of all; plain views only, read a part at a time."""
        at = self.members[label]

        def blocks(view: int) -> Iterator[tuple[Positions, npt.NDArray[np.float16]]]:
            assert view == 0  # noqa: S101  whatever sees one label alone looks at plain views
            for start in range(0, len(at), _AT_ONCE):
                part = np.arange(start, min(start + _AT_ONCE, len(at)))
                yield part, self.read(at[part]).astype(np.float16)

        return TrainingVectors(
            ids=[self.ids[one] for one in at],
            labels=[label] * len(at),
            groups=[self.groups[one] for one in at],
            blocks=blocks,
            read=lambda inside: self.read(at[inside]),
            embed_text=self.embed_text,
            dim=self.dim,
            rare=np.flatnonzero(np.isin(at, self.rare)),
            known_centre=centre,
            place=self.place,
            rows=self.rows[at],
        )

    def drawn(self, seed: int, purpose: bytes) -> dict[str, Positions]:
        """Return each label's members in a random order that depends on the seed and their ids alone."""
        return {label: self.shuffled(at, seed, purpose) for label, at in self.members.items()}

    def shuffled(self, samples: Positions, seed: int, purpose: bytes, count: int | None = None) -> Positions:
        """Return samples, or the first `count`, in a random order that depends on the seed and their ids alone."""

        def key(at: np.int64) -> bytes:
            text = f"{seed}\0{self.ids[at]}".encode()
            return hashlib.blake2b(text, digest_size=16, person=purpose).digest()

        return np.array(sorted(samples, key=key) if count is None else nsmallest(count, samples, key), np.int64)


@dataclass(frozen=True)
class Prototypes:
    """What a strategy found.

    Attributes:
        vectors: (k, d) float32.
        labels: (k,); every label of the training samples has one or more.
        source: (k,) the training sample that each prototype is; -1 where it is none, as a mean.
        fitted: (n,) which training samples the vectors were made from.
        remarks: sentences that a reader should know, such as that a class was too small for what was asked.
        axes: (k, r, d) float32 along which the samples of each prototype vary, see `Summary`; None where not asked for.
        codes: of every training sample, see `Summary`; empty where not asked for.
        distances: (n,) how far each sample lies from what its code says of it, both at unit length; None: its prototype
            speaks for it.
    """

    vectors: Vectors
    labels: list[str]
    source: Positions
    fitted: npt.NDArray[np.bool_]
    remarks: tuple[str, ...] = ()
    axes: Vectors | None = None
    codes: tuple[Codes, ...] = ()
    distances: npt.NDArray[np.float64] | None = None

    @classmethod
    def from_samples(
        cls, training: TrainingVectors, chosen: dict[str, Positions], remarks: tuple[str, ...] = ()
    ) -> Prototypes:
        """Return prototypes that are training samples: for each label those at `chosen`."""
        source = np.concatenate([np.asarray(at, np.int64) for at in chosen.values()])
        fitted = np.zeros(len(training.ids), bool)
        fitted[source] = True
        labels = [label for label, at in chosen.items() for _ in at]
        return cls(training.read(source), labels, source, fitted, remarks)


# (training, seed, its own parameters by name) -> Prototypes; deterministic for a seed, independent of row order and of
# how the blocks are cut.
Strategy = Callable[..., Prototypes]


def directions(vectors: npt.NDArray[np.floating], centre: Vectors) -> Vectors:
    """Return centred vectors (n, d) at unit length: raw ones lie in a narrow cone, where all directions look alike."""
    return unit_length(vectors.astype(np.float64) - centre)
