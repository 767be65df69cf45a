"""What a target policy gets and gives. Targets come from training samples only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NoReturn, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from distill.source import Source, texts_of
from embedstore import EmbeddingStore, Summary
from embedstore.errors import StoreError, SummaryError
from embedstore.images import part_of
from embedstore.teachers.protocol import EMBEDDING
from embedstore.vectors import Vectors, unit_length

Positions = npt.NDArray[np.int64]

_AT_ONCE = 4096
_FITTING = {
    "class-mean": "class-mean",
    "class-distribution": "class-distribution",
    "compressed-own": "compressed-own",
    "text": "class-mean",
    "rare-samples": "rare-samples",
    "random-samples": "rare-samples",
    "herding": "rare-samples",
}


@dataclass(frozen=True)
class TrainingSet:
    """The training samples in the order of their ids; policies know them by their position in it.

    That order is the same however a store was filled: at once, by and by, or by a cluster whose nodes finish when they do.

    Attributes:
        source: a store, or an exported summary.
        positions: (n,) where they stand in the source.
        ids: (n,). These three are tuples, so that Python's garbage collector does not walk through millions again and again.
        labels: (n,); None where a sample has none.
        groups: (n,) the part that each shows; a sample without a group has one of its own.
        views: how many augmented views each has, beside the plain picture.
        images: the image folder, where it is not where the source remembers it.
    """

    source: Source
    positions: Positions
    ids: tuple[str, ...]
    labels: tuple[str | None, ...]
    groups: tuple[str, ...]
    views: int
    images: Path | None = None

    @classmethod
    def from_source(
        cls, source: Source, positions: Positions, views: int | None = None, images: Path | None = None
    ) -> TrainingSet:
        """Take the samples at some positions of a store or an exported summary, with some of its views, or all."""
        ids, labels, groups = texts_of(source, positions)
        order = sorted(range(len(ids)), key=ids.__getitem__)
        return cls(
            source,
            positions[order],
            tuple(ids[at] for at in order),
            tuple(labels[at] for at in order),
            tuple(part_of(ids[at], groups[at]) for at in order),
            source.views if views is None else views,
            images,
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dim(self) -> int:
        """The dimension of the teacher's vectors."""
        return self.source.dim

    @cached_property
    def centre(self) -> Vectors:
        """The mean (d,) of the plain vectors: vectors of one teacher lie in a narrow cone, so it is taken off first.

        It is that of the labelled samples, as in summaries; of all where none has a label. The sum is exact.
        """
        return self.centre_of(EMBEDDING)

    def centre_of(self, output: str) -> Vectors:
        """Return the mean (d,) of another output of the teacher, as `centre` is of the embedding."""
        labelled = [at for at, label in enumerate(self.labels) if label is not None]
        chosen = self.positions[labelled] if labelled else self.positions
        total = np.zeros(self.dim_of(output), np.float64)
        for start in range(0, len(chosen), _AT_ONCE):
            total += self._read(chosen[start : start + _AT_ONCE], 0, output).astype(np.float64).sum(axis=0)
        return (total / len(chosen)).astype(np.float32)

    def dim_of(self, output: str) -> int:
        """Return the dimension of an output of the teacher.

        Raises:
            StoreError: the source does not have it in every view that is used.
        """
        if output == EMBEDDING:
            return self.dim
        known = self.source.outputs if isinstance(self.source, EmbeddingStore) else {EMBEDDING: self.dim}
        if output not in known:
            raise StoreError(
                f"'{self.source.path}' has no output '{output}' of all its views (it has {', '.join(known)}); where its teacher "
                f"gives that, add it with: embedstore build '{self.source.path}' IMAGES --outputs {output}"
            )
        return known[output]

    @cached_property
    def members(self) -> dict[str | None, Positions]:
        """The samples of each label, labels and members sorted, so that the order of rows decides nothing; None last."""
        found: dict[str | None, list[int]] = {}
        for at in sorted(range(len(self)), key=self.ids.__getitem__):
            found.setdefault(self.labels[at], []).append(at)
        ordered = sorted(found, key=lambda label: (label is None, label or ""))
        return {label: np.array(found[label], np.int64) for label in ordered}

    def vectors(self, samples: Positions, views: Positions, output: str = EMBEDDING) -> Vectors:
        """Return the stored vectors (m, d) of some samples, each in its own view."""
        result = np.empty((len(samples), self.dim_of(output)), np.float32)
        for view in np.unique(views):
            chosen = views == view
            result[chosen] = self._read(self.positions[samples[chosen]], int(view), output)
        return result

    def _read(self, positions: Positions, view: int, output: str) -> Vectors:
        if isinstance(self.source, EmbeddingStore):
            return self.source.read(positions, view=view, output=output)
        return self.source.read(positions, view=view)  # a summary file, which knows no other output; see `dim_of`


@dataclass(frozen=True)
class Targets:
    """The targets of a batch.

    Attributes:
        vectors: (m, d) float32 of unit length; the centre is taken off first, but for the baselines that leave it.
        known: (m,) which samples have a target.
        chosen: (m,) which of the policy's prototypes each target is; None where it has none.
    """

    vectors: Vectors
    known: npt.NDArray[np.bool_]
    chosen: Positions | None = None


class Policy(Protocol):
    """Gives targets.

    Attributes:
        dim: d, the dimension of the targets.
        prototypes: (k, d) what targets are chosen from, of unit length; None where a sample may have its own.
    """

    dim: int
    prototypes: Vectors | None

    def targets(self, samples: Positions, views: Positions, step: int = 0) -> Targets:
        """Return the targets of some training samples, each in its own view.

        `step` counts the batches of the run; what a policy draws depends on the seed, the samples and the step alone.
        """
        ...


@runtime_checkable
class LivePolicy(Policy, Protocol):
    """A policy that makes its targets when they are asked for, and gains by knowing beforehand for what."""

    def begin(self, samples: Positions, views: Positions, step: int) -> None:
        """Begin to read what the same call of `targets` will need; returns at once."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


@dataclass(frozen=True)
class PolicyKind:
    """A policy that can be asked for by name.

    Attributes:
        fit: (training, summary, seed, **parameters) -> policy; None means that nothing is aligned.
        strategy: the summary that it needs, if any.
        reads_vectors: it reads every sample's own vector, so it needs the store.
        any_view: its targets are the same for all views of a sample, or made when they are asked for, so it can be trained
            with views that the store does not have.
    """

    fit: Callable[..., Policy | None]
    strategy: str | None = None
    reads_vectors: bool = False
    any_view: bool = False


class PrototypePolicy:
    """A policy whose targets are prototypes.

    Args:
        prototypes: (k, d), the centre taken off.
        serving: (n, views + 1) which of them each training sample gets in each view; -1 where it gets none.
    """

    def __init__(self, prototypes: Vectors, serving: Positions):
        self.prototypes: Vectors | None = unit_length(prototypes)
        self.dim = prototypes.shape[1]
        self._vectors = unit_length(prototypes)
        self._serving = serving

    def targets(self, samples: Positions, views: Positions, step: int = 0) -> Targets:
        """Return the prototypes of some samples."""
        chosen = self._serving[samples, views]
        known = chosen >= 0
        return Targets(self._vectors[np.maximum(chosen, 0)], known, np.maximum(chosen, 0))


def fitting_policy(strategy: str) -> str:
    """Return the policy that a summary is made for, by its strategy."""
    return _FITTING.get(strategy, "sub-prototypes")  # which takes any prototypes


def need_summary(policy: str, summary: Summary | None) -> Summary:
    """Return the summary, or say which policy lacks one."""
    if summary is None:
        raise SummaryError(f"The policy '{policy}' needs a summary.")
    return summary


def serving_of(training: TrainingSet, summary: Summary) -> Positions:
    """Return which prototype serves each training sample in each view, (n, views + 1); -1 for samples without a label.

    The summary says it of the samples that it saw. Any other sample is served where its label has one prototype only.

    Raises:
        SummaryError: a label has no prototype, or the summary does not know a sample, its label, or all of the views.
    """
    codes = {label: code for code, label in enumerate(training.members)}
    label_of = np.array([codes[label] for label in training.labels], np.int64)
    # The last, which -1 leads to, is of no prototype.
    of_prototype = np.array([*(codes.get(label, -1) for label in summary.labels), -2], np.int64)
    # How many prototypes each sample's label has.
    counts = np.bincount(of_prototype[of_prototype >= 0], minlength=len(codes))[label_of]
    only = np.full(len(codes) + 1, -1, np.int64)  # the last is for prototypes of other labels
    only[of_prototype[:-1]] = np.arange(len(of_prototype) - 1)
    serving = np.where(counts == 1, only[label_of], -1)[:, None].repeat(training.views + 1, axis=1)
    asked = np.flatnonzero(counts > 1)
    if len(asked) and summary.views >= training.views:
        places = places_in(summary.seen, training.ids)[asked]
        known = places >= 0
        serving[asked[known]] = summary.serving[places[known], : training.views + 1]
    labelled = label_of != codes.get(None, -1)
    wrong = np.flatnonzero(labelled & ((serving[:, 0] < 0) | (of_prototype[serving[:, 0]] != label_of)))
    if len(wrong):
        _refuse_unserved(training, summary, int(wrong[0]), int(serving[wrong[0], 0]))
    return serving


def _refuse_unserved(training: TrainingSet, summary: Summary, at: int, prototype: int) -> NoReturn:
    """Say why a summary tells no prototype of a sample's label for it."""
    sample_id, label = training.ids[at], training.labels[at]
    if label not in summary.labels:
        raise SummaryError(
            f"The summary '{summary.name}' has no prototype for the label '{label}'; make it again from the training side."
        )
    if prototype < 0:
        raise SummaryError(
            f"The summary '{summary.name}' does not know "
            + (f"view {training.views}" if sample_id in summary.seen else f"the training picture '{sample_id}'")
            + ", and its label has several prototypes; make it again from the training side."
        )
    raise SummaryError(
        f"The summary '{summary.name}' knows the picture '{sample_id}' as '{summary.labels[prototype]}', not as '{label}'; make "
        "it again from the training side."
    )


def places_in(seen: Sequence[str], ids: Sequence[str]) -> Positions:
    """Return where each id stands in `seen`, -1 where it does not.

    Mostly they are the same ids. Then, in order, they are met one after another; a dict of millions is looked into at random.
    """
    order = sorted(range(len(seen)), key=seen.__getitem__)
    ordered = [seen[at] for at in order]
    if ordered == list(ids):
        return np.array(order, np.int64)
    known = dict(zip(ordered, order, strict=True))
    return np.array([known.get(sample_id, -1) for sample_id in ids], np.int64)
