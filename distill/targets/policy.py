"""What a target policy gets and gives. Targets come from training samples only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from distill.source import Source
from embedstore import EmbeddingStore, Summary
from embedstore.errors import StoreError, SummaryError
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
        ids: (n,).
        labels: (n,); None where a sample has none.
        groups: (n,) the part that each shows; a sample without a group has one of its own.
        views: how many augmented views each has, beside the plain picture.
        images: the image folder, where it is not where the source remembers it.
    """

    source: Source
    positions: Positions
    ids: list[str]
    labels: list[str | None]
    groups: list[str]
    views: int
    images: Path | None = None

    @classmethod
    def from_source(
        cls, source: Source, positions: Positions, views: int | None = None, images: Path | None = None
    ) -> TrainingSet:
        """Take the samples at some positions of a store or an exported summary, with some of its views, or all."""
        ids, labels, parts = list[str](), list[str | None](), list[str]()
        for at in positions.tolist():  # one by one: all samples with all that is known of them would be large
            sample = source.sample_at(at)
            ids.append(sample.id)
            labels.append(sample.label)
            parts.append(sample.part)
        order = sorted(range(len(ids)), key=ids.__getitem__)
        return cls(
            source,
            positions[order],
            [ids[at] for at in order],
            [labels[at] for at in order],
            [parts[at] for at in order],
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
    of_label: dict[str, list[int]] = {}
    for index, name in enumerate(summary.labels):
        of_label.setdefault(name, []).append(index)
    seen = {sample_id: at for at, sample_id in enumerate(summary.seen)}
    serving = np.full((len(training), training.views + 1), -1, np.int64)
    for at, (sample_id, label) in enumerate(zip(training.ids, training.labels, strict=True)):
        if label is None:
            continue
        own = of_label.get(label)
        if own is None:
            raise SummaryError(
                f"The summary '{summary.name}' has no prototype for the label '{label}'; make it again from the training "
                "side."
            )
        if len(own) == 1:
            serving[at] = own[0]
            continue
        if sample_id not in seen or summary.views < training.views:
            raise SummaryError(
                f"The summary '{summary.name}' does not know "
                + (f"view {training.views}" if sample_id in seen else f"the training picture '{sample_id}'")
                + ", and its label has several prototypes; make it again from the training side."
            )
        serving[at] = summary.serving[seen[sample_id], : training.views + 1]
        if summary.labels[serving[at, 0]] != label:
            raise SummaryError(
                f"The summary '{summary.name}' knows the picture '{sample_id}' as '{summary.labels[serving[at, 0]]}', not "
                f"as '{label}'; make it again from the training side."
            )
    return serving
