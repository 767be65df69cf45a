"""The labelled pictures of a store, and the folds of whole parts that they are dealt into."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from embedstore.errors import SettingsError
from embedstore.images import Sample
from embedstore.splits import plan_split
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.summaries import TrainingVectors
from embedstore.summaries.strategy import Positions, directions
from embedstore.vectors import Vectors, widened
from prototype_parts.probe import fitted_probe

OUTER, INNER = 5, 4  # folds of all parts, and of the parts on a training side


@dataclass(frozen=True)
class Pictures:
    """Labelled samples in the order of their ids, with their plain vectors.

    Attributes:
        samples: (n,).
        vectors: (n, d) float16, as stored.
        good: the label of good parts; every other label is a defect.
    """

    samples: list[Sample]
    vectors: npt.NDArray[np.float16]
    good: str

    @classmethod
    def from_store(cls, store: EmbeddingStore, good: str) -> Pictures:
        """Take all labelled samples of a store.

        Raises:
            SettingsError: the store has no good ones, or nothing else.
        """
        samples = sorted((one for one in store.samples if one.label is not None), key=lambda one: one.id)
        labels = {one.label for one in samples}
        if good not in labels or len(labels) < 2:
            raise SettingsError(
                f"'{store.path}' has the labels {', '.join(sorted(map(str, labels))) or '(none)'}; expected '{good}' and "
                "a label of defects; name the label of good parts with --good."
            )
        vectors = store.read(store.positions([one.id for one in samples])).astype(np.float16)
        return cls(samples, vectors, good)

    @cached_property
    def defect(self) -> npt.NDArray[np.bool_]:
        """Which are defects, (n,)."""
        return np.array([one.label != self.good for one in self.samples], bool)

    @cached_property
    def modes(self) -> list[str]:
        """The kinds of defect, sorted: their mode, or their label where a sample has no mode."""
        return sorted({one.mode or str(one.label) for one in self.samples if one.label != self.good})

    @cached_property
    def kinds(self) -> Positions:
        """The kind of each, (n,): 0 is good, 1 and more count through `modes`."""
        number = {mode: at for at, mode in enumerate(self.modes, start=1)}
        found = [0 if one.label == self.good else number[one.mode or str(one.label)] for one in self.samples]
        return np.array(found, np.int64)

    @cached_property
    def parts(self) -> Positions:
        """A number for the part that each shows, (n,)."""
        return np.unique([one.part for one in self.samples], return_inverse=True)[1].astype(np.int64)

    @property
    def checksum(self) -> str:
        """Of all that the figures hang on."""
        told = [(one.id, one.label, one.mode, one.part) for one in self.samples]
        return f"{zlib.crc32(self.vectors.tobytes(), zlib.crc32(repr(told).encode())):08x}"

    def each_a_part(self) -> Pictures:
        """Return them as if each showed a part of its own: the leak that the protocol keeps out, to measure it."""
        return replace(self, samples=[replace(one, group=None) for one in self.samples])


class Side:
    """The training side of one fold: all that a summary made for its test side may see.

    Attributes:
        good: the label of good parts.
        samples: (n,).
        training: the same, as strategies take it.
    """

    def __init__(self, pictures: Pictures, at: Positions):
        self.good = pictures.good
        self.samples = [pictures.samples[one] for one in at]
        self._vectors = pictures.vectors[at]
        everything = np.arange(len(at))
        self.training = _Given(
            ids=[one.id for one in self.samples],
            labels=[str(one.label) for one in self.samples],
            groups=[one.part for one in self.samples],
            blocks=lambda view: iter([(everything, self._vectors)]),
            read=lambda where: widened(self._vectors[where]),
            embed_text=_no_text,
            dim=pictures.vectors.shape[1],
        )

    @cached_property
    def centre(self) -> Vectors:
        """Their mean (d,) as float16 would keep it."""
        return self.training.centre.astype(np.float16).astype(np.float32)

    @cached_property
    def points(self) -> Vectors:
        """Their centred directions, (n, d)."""
        return directions(self.training.read(np.arange(len(self.samples))), self.training.centre)

    @cached_property
    def defect(self) -> npt.NDArray[np.bool_]:
        """Which are defects, (n,)."""
        return np.array([one.label != self.good for one in self.samples], bool)

    @cached_property
    def axes(self) -> Vectors:
        """The principal axes of their centred directions, (d, d), a column each, the longest first."""
        _, vectors = np.linalg.eigh(self.points.T.astype(np.float64) @ self.points)
        return vectors[:, ::-1].astype(np.float32)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """How many samples each label has."""
        return {label: len(members) for label, members in self.training.members.items()}

    @cached_property
    def alone(self) -> dict[str, TrainingVectors]:
        """Each label's samples by themselves, centred as all are: a strategy can then be asked for another k of each."""
        return {label: self._of(members) for label, members in self.training.members.items()}

    def _of(self, members: Positions) -> TrainingVectors:
        def blocks(view: int) -> Iterator[tuple[Positions, npt.NDArray[np.float16]]]:
            yield np.arange(len(members)), self._vectors[members]

        whole = self.training
        return _Given(
            ids=[whole.ids[at] for at in members],
            labels=[whole.labels[at] for at in members],
            groups=[whole.groups[at] for at in members],
            blocks=blocks,
            read=lambda where: whole.read(members[where]),
            embed_text=_no_text,
            dim=whole.dim,
            given=whole.centre,
        )

    @cached_property
    def doubts(self) -> npt.NDArray[np.float64]:
        """How unlikely a linear probe finds each sample's own side, good or defect, (n,); by probes that saw no part of it."""
        likely = np.full(len(self.samples), 0.5)  # of a sample that no inner fold tests
        for train, test in deal(self.samples, INNER, seed=1):
            probe = fitted_probe(self.points[train], self.defect[train], np.ones(len(train)))
            likely[test] = probe.predict_proba(self.points[test])[:, 1]
        return np.where(self.defect, 1 - likely, likely)


@dataclass(frozen=True)
class _Given(TrainingVectors):
    """Training vectors whose centre may be that of more samples."""

    given: Vectors | None = None

    @cached_property
    def centre(self) -> Vectors:
        return super().centre if self.given is None else self.given


@dataclass(frozen=True)
class Trial:
    """What is fitted on one side of whole parts and asked about the other.

    Attributes:
        side: the training side.
        test: (m,) positions of the tested pictures in `Pictures`.
    """

    side: Side
    test: Positions


@dataclass(frozen=True)
class Fold:
    """One outer fold: the trial that counts, and those inside its training side that set its threshold."""

    outer: Trial
    inner: list[Trial]


def make_folds(pictures: Pictures) -> list[Fold]:
    """Deal the pictures, and each training side again; a part is never on two sides."""
    folds = []
    for train, test in deal(pictures.samples, OUTER, seed=0):
        inside = [pictures.samples[at] for at in train]
        inner = [Trial(Side(pictures, train[a]), train[b]) for a, b in deal(inside, INNER, seed=1)]
        folds.append(Fold(Trial(Side(pictures, train), test), inner))
    return folds


def deal(samples: list[Sample], folds: int, seed: int) -> Iterator[tuple[Positions, Positions]]:
    """Yield the training and the test positions of each fold, whole parts, as `distill` deals them."""
    for fold in range(folds):
        splits = plan_split(samples, folds=folds, fold=fold, seed=seed).splits
        tested = np.array([splits[one.id] == "test" for one in samples], bool)
        yield np.flatnonzero(~tested), np.flatnonzero(tested)


def _no_text(texts: list[str]) -> Vectors:
    raise SettingsError("The study reads no texts; leave the strategy 'text' out.")
