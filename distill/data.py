"""A PyTorch data set over one side of a store: pictures, labels and targets for a training loop of one's own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from operator import index as as_index
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from distill.handles import Handles
from distill.source import Source, opened_source
from distill.targets import POLICIES, Policy, TrainingSet
from distill.targets.making import make_policy
from distill.training.run_data import RunData, make_run_data, views_used
from distill.training.run_summary import summary_for
from distill.training.settings import Settings
from embedstore.errors import SettingsError
from embedstore.images import SPLITS
from embedstore.views import WHOLE, draw_view

Item = tuple[Tensor, int, Tensor]

REFUSED = ("live-teacher",)  # policies that can't be asked from the workers of a DataLoader
_STEPS = 2**31


class DistillationDataset(Dataset[Item]):
    """One side of a store, or of an exported summary, sample by sample.

    `dataset[i]` is (image, label, target): uint8 RGB (3, size, size); the label's number in `classes`, -1 where there is none;
    and float32 (dim,) of unit length, zeros where there is none, as `distill.DistillationLoss` takes them.

    On the training side each access draws one of the stored views anew, 0 (the whole picture) to `views`; the image is cut as
    that view was cut for the teacher, and the target belongs to it. Any other side gives whole pictures and no targets: what a
    student reaches is measured on those.

    All draws come from PyTorch's generator, so `torch.manual_seed` governs them, and the seeds of a DataLoader's workers do.
    They are the same for all policies. A DataLoader fetches whole batches at once (`__getitems__`), which is much faster than
    sample by sample.

    Workers may be forked or spawned. Each opens the store for itself, at the version that the data set was made for. A store
    that you hold open yourself can't be read by a forked worker, which says so: give the path here, and close yours, or take
    `multiprocessing_context="spawn"`. Build the store with `--keep-images`: else each worker decodes the files, and keeps up to
    2 GiB of them in its memory. Give a loader with workers `persistent_workers=True`: else they end with each epoch, and what
    they decoded is lost.

    Args:
        store: a store, a `SummaryFile`, or the path of one.
        side: `train`, `val`, `test`, or `aside`.
        policy: which target each sample gets; a key of `distill.targets.POLICIES`, but `live-teacher`. `none`: none at all. It
            plays no part on other sides than `train`.
        size: side of the images, in pixels.
        views: how many of the stored augmented views to draw from; None for all.
        mixture: with the policy `mixture`: label -> policy -> weight.
        options: policy -> its options; see `Settings`.
        images: the image folder, where it is not where the store remembers it.
        seed: of what policies draw once, and of the split where the store has none; the same for all sides.
        folds: deal the groups into so many folds; None takes the split that the store has.
        fold: which of them is tested; the next one validates.

    Attributes:
        classes: the training labels, sorted.
        ids: (n) of the samples.
        labels: (n,) int64, of each sample as in `dataset[i]`; for a WeightedRandomSampler, say.
        dim: d, the length of a target.
        prototypes: (k, d) float32 of unit length, what the targets are chosen from, which the contrastive loss needs; None
            where a sample may have its own, and on other sides than `train`.
        remarks: sentences that a reader of the figures should know, of the split and the summary.

    Raises:
        SettingsError: a setting is not allowed, or the policy needs the store and this is a summary file.
        TrainingError: the store can't be learned from, or the image folder is not there.
        SummaryError: the summary is unknown, or saw what is validated or tested.
    """

    classes: list[str]
    ids: list[str]
    labels: npt.NDArray[np.int64]
    dim: int
    prototypes: Tensor | None
    remarks: list[str]

    def __init__(
        self,
        store: str | os.PathLike[str] | Source,
        side: str = "train",
        *,
        policy: str = "own",
        size: int = 96,
        views: int | None = None,
        mixture: Mapping[str, Mapping[str, float]] | None = None,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        images: str | os.PathLike[str] | None = None,
        seed: int = 0,
        folds: int | None = None,
        fold: int = 0,
    ):
        settings = Settings(
            policy=policy,
            mixture=mixture or {},
            options=options or {},
            size=size,
            views=views,
            seed=seed,
            folds=folds,
            fold=fold,
        )
        if side not in SPLITS:
            raise SettingsError(f"The side '{side}' is unknown; use one of {', '.join(SPLITS)}.")
        if policy in REFUSED:
            raise SettingsError(
                f"The policy '{policy}' runs the teacher beside the student, which the workers of a data set can't; train "
                f"with distill.train, or take one of {', '.join(name for name in POLICIES if name not in REFUSED)}."
            )
        folder = None if images is None else Path(images)
        if isinstance(store, str | os.PathLike):
            with opened_source(store) as source:
                self._take(source, side, settings, folder)
        else:
            self._take(store, side, settings, folder)

    def _take(self, source: Source, side: str, settings: Settings, images: Path | None) -> None:
        data = make_run_data(source, settings)
        number = {label: index for index, label in enumerate(data.classes)}
        chosen = [data.samples[at] for at in data.sides[side]]
        self.classes, self.remarks, self.dim = data.classes, data.remarks, source.dim
        self.ids = [sample.id for sample in chosen]
        self.labels = np.array([-1 if s.label is None else number.get(s.label, -1) for s in chosen], np.int64)
        self._positions, self._recipe = data.sides[side], source.recipe
        self._handles = Handles(self, source, settings.size, images)
        with self._handles.reading():  # refuses a folder that is not there before anything is fitted
            pass
        self._training: TrainingSet | None = None
        self._policy: Policy | None = None
        self.prototypes = None
        if side == "train":
            self._learn(source, settings, data)

    def _learn(self, source: Source, settings: Settings, data: RunData) -> None:
        """Fit the policy."""
        self._training = TrainingSet.from_source(source, self._positions, views_used(source, settings))
        self._policy = make_policy(
            settings.policy,
            self._training,
            seed=settings.seed,
            options=settings.options,
            weights=settings.mixture,
            summary_of=lambda strategy, options: summary_for(source, data, settings, strategy, options),
        )
        if self._policy is not None:
            self.dim = self._policy.dim
            if self._policy.prototypes is not None:
                self.prototypes = torch.from_numpy(self._policy.prototypes)
        _read_by(self._training, None)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Item:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Item]:
        """Return some samples, read and cut together; what a DataLoader calls for a batch."""
        at = np.arange(len(self))[np.array([as_index(index) for index in indices], np.int64)]
        with self._handles.reading() as (source, pictures):
            if self._training is None:
                cuts, vectors = [WHOLE] * len(at), torch.zeros(len(at), self.dim)
            else:
                views = torch.randint(self._training.views + 1, (len(at),)).numpy()
                # Drawn for every policy, so that all see the same views.
                step = int(torch.randint(_STEPS, ()))
                cuts = [draw_view(self._recipe, self.ids[i], int(view)) for i, view in zip(at, views, strict=True)]
                vectors = self._targets(source, self._training, at, views, step)
            cut = pictures.cut(self._positions[at], cuts)
        # What was made in inference mode can't be changed in place, as transforms may, nor kept for a backward pass.
        own = cut.clone(memory_format=torch.contiguous_format)
        return list(zip(own.unbind(), self.labels[at].tolist(), vectors.unbind(), strict=True))

    def _targets(
        self,
        source: Source,
        training: TrainingSet,
        at: npt.NDArray[np.int64],
        views: npt.NDArray[np.int64],
        step: int,
    ) -> Tensor:
        """Return the targets (m, d), zeros where a sample has none."""
        if self._policy is None:
            return torch.zeros(len(at), self.dim)
        _read_by(training, source)
        try:
            found = self._policy.targets(at, views, step)
        finally:
            _read_by(training, None)
        return torch.from_numpy(np.where(found.known[:, None], found.vectors, np.float32(0)))

    def close(self) -> None:
        """Let go of the store and the pictures; the next access opens them again."""
        self._handles.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._handles.adopt(self)


def _read_by(training: TrainingSet, source: Source | None) -> None:
    """Let policies, which read through their training set alone, read from a source; None: it holds no handle.

    Between accesses it holds none, so that it can be pickled, and no forked worker inherits one.
    """
    object.__setattr__(training, "source", source)
