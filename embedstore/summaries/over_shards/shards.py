"""Shards: ranges of a store's rows. A step looks at one and gives a small partial result; these are reduced where it was asked.

A *step* is a plain function `step(shard, read, *said)`: of a shard, of a way to read its vectors, and of what is said to all
shards alike, such as centroids. What it gives is bounded by what was said, or a few numbers for each sample, never vectors of
samples. An *engine* maps steps over shards: `InProcess` one after another, `OnRay` on a cluster. Sums are exact (see
`vectors.exact_directions`), so neither the engine nor the cut into shards changes a bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from embedstore.errors import StoreError
from embedstore.store.snapshot import Snapshot
from embedstore.teachers.protocol import EMBEDDING

if TYPE_CHECKING:
    from embedstore.summaries.strategy import Positions, TrainingVectors

Numbers = npt.NDArray[np.int64]
Float16 = npt.NDArray[np.float16]
Read = Callable[[Numbers, int], Float16]  # rows (m,), a view -> vectors (m, d)
Run = Callable[..., Iterator[Any]]  # (step, *said) -> what the step gives of each shard, in their order
Progress = Callable[[str, int, int], None]  # what a pass looks for, shards done, in all

SHARD = 65_536  # samples of a shard: 24 bytes of numbers each, and in a store of 512 dimensions 64 MB of vectors
_AT_ONCE = 4_096  # vectors


@dataclass(frozen=True)
class Place:
    """Which version of which store; whoever works on a shard opens it there, to read.

    Attributes:
        path: of the store; all nodes of a cluster see it under this name.
        version: a number.
        generation: the name of the directory that its rows are counted in; a compaction makes another.
    """

    path: Path
    version: int
    generation: str

    def reader(self) -> Read:
        """Open it.

        Raises:
            StoreError: it is not there, or was compacted meanwhile.
        """
        snapshot = Snapshot(self.path, self.version)
        if snapshot.environment.directory.name != self.generation:
            snapshot.close()
            raise StoreError(
                f"The store '{self.path}' was compacted while it was summarised, and its rows are elsewhere now; summarise again."
            )
        return lambda rows, view: snapshot.take(snapshot.column(view, EMBEDDING), rows)


@dataclass(frozen=True)
class Shard:
    """Some samples of a summary, in the order of their rows.

    Attributes:
        place: where they are.
        rows: (m,) of the store, ascending.
        numbers: (m,) where each stands among all samples of the summary, sorted by id.
        labels: (m,) the number of its label, of all that are there, sorted.
        parts: (m,) a number for the physical part that it shows.
    """

    place: Place
    rows: Numbers
    numbers: Numbers
    labels: npt.NDArray[np.int32]
    parts: npt.NDArray[np.int32]

    def blocks(self, read: Read, view: int = 0) -> Iterator[tuple[slice, Float16]]:
        """Yield places in the shard and their vectors (m, d), a few thousand at a time."""
        for start in range(0, len(self.rows), _AT_ONCE):
            at = slice(start, start + _AT_ONCE)
            yield at, read(self.rows[at], view)

    def by_label(
        self, read: Read, wanted: npt.NDArray[np.bool_], *, view: int = 0, without: Numbers | None = None
    ) -> Iterator[tuple[int, Numbers, Float16]]:
        """Yield a label's number, places in the shard, and the vectors (m, d), of one label at a time.

        Args:
            read: as a step gets it.
            wanted: (labels,) which of the labels.
            view: of the vectors.
            without: numbers of samples to pass over, ascending.
        """
        taken = wanted[self.labels]
        if without is not None and len(without):
            taken &= ~np.isin(self.numbers, without)
        for at, vectors in self.blocks(read, view) if taken.any() else ():
            inside = np.flatnonzero(taken[at])
            labels = self.labels[at][inside]
            for label in np.unique(labels).tolist():
                own = inside[labels == label]
                yield label, own + at.start, vectors[own]


class ShardEngine(Protocol):
    """What maps steps over shards."""

    @property
    def samples(self) -> int:
        """How many samples a shard has at most."""
        ...

    def over(self, shards: Sequence[Shard]) -> Run:
        """Take shards; what is returned maps a step over them, as often as it is called."""
        ...


@dataclass(frozen=True)
class InProcess:
    """One shard after another, in this process."""

    samples: int = SHARD

    def over(self, shards: Sequence[Shard]) -> Run:
        """Open the store once; see `ShardEngine.over`."""
        read = shards[0].place.reader()

        def run(step: Callable[..., Any], *said: Any) -> Iterator[Any]:
            return (step(shard, read, *said) for shard in shards)

        return run


class Shards:
    """All samples that a summary may see, as shards.

    Args:
        training: from a store.
        engine: maps steps.

    Attributes:
        labels: sorted; a label's number is its place here.
        counts: (labels,) samples of each.
        lone: (labels,) whether all samples of the label are of one part.
        positions: (n,) position in `training` of each number.
    """

    def __init__(self, training: TrainingVectors, engine: ShardEngine):
        place, rows = training.place, training.rows
        assert place is not None  # noqa: S101  vectors that are in no store are never too many
        self.labels = list(training.members)
        self.counts = np.array([len(at) for at in training.members.values()], np.int64)
        by_id = sorted(range(len(training.ids)), key=training.ids.__getitem__)
        self.positions: Positions = np.array(by_id, np.int64)
        numbers = np.empty(len(by_id), np.int64)
        numbers[self.positions] = np.arange(len(by_id))
        labels = _codes(training.labels, {label: code for code, label in enumerate(self.labels)})
        self.parts = _codes(training.groups, {})
        self.lone = np.array([len(np.unique(self.parts[at])) == 1 for at in training.members.values()])
        by_row, self._numbers = np.argsort(rows), numbers
        cuts = (by_row[start : start + engine.samples] for start in range(0, len(rows), engine.samples))
        shards = [Shard(place, rows[at], numbers[at], labels[at], self.parts[at]) for at in cuts]
        self._run, self._count = engine.over(shards), len(shards)
        self._told: Progress = training.progress or (lambda what, done, total: None)

    def map(self, what: str, step: Callable[..., Any], *said: Any) -> Iterator[Any]:
        """Yield what a step gives of each shard, in their order.

        Args:
            what: it looks for, for people who wait.
            step: see above.
            said: to all shards alike.
        """
        self._told(what, 0, self._count)
        for done, found in enumerate(self._run(step, *said), 1):
            yield found
            self._told(what, done, self._count)

    def numbers(self, positions: Positions) -> Numbers:
        """Return the numbers of samples at some positions in `training`, ascending."""
        return np.sort(self._numbers[positions])


def _codes(texts: Sequence[str], known: dict[str, int]) -> npt.NDArray[np.int32]:
    """Return the number of each text (n,), new ones in the order in which they come."""
    return np.fromiter((known.setdefault(text, len(known)) for text in texts), np.int32, len(texts))
