"""The steps of a run's epochs: what is read, what the batch lost, how the weights move."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from distill.losses import DistillationLoss, Losses
from distill.students import Student
from distill.targets import LivePolicy, Policy, Targets, TrainingSet
from distill.training.batch_norm import batch_norms_of
from distill.training.batches import Batch, balanced_order, plan_epoch
from distill.training.pictures import ReadPictures, StudentPictures
from distill.training.precision import layers_dtype, layers_in
from distill.training.ranks import ALONE, Ranks
from distill.training.settings import Settings
from distill.training.weights import learning_rate_factor


@dataclass(frozen=True)
class Taught:
    """What a batch of m samples is taught, as tensors; see `DistillationLoss.forward`.

    Attributes:
        labels: (m,).
        labelled: (m,).
        targets: (m, d), or None.
        chosen: (m,), or None.
    """

    labels: Tensor
    labelled: Tensor
    targets: Tensor | None
    chosen: Tensor | None


class Learner(nn.Module):
    """A student and its loss as one module: the whole of what is computed, and differentiated, at a step.

    Args:
        student: sees the pixels.
        loss: is taken of the whole batch, by each rank the same.
        ranks: who have the other parts of the batch.
        dtype: that the student's layers compute in; losses are float32.
    """

    def __init__(
        self, student: Student, loss: DistillationLoss, ranks: Ranks = ALONE, dtype: torch.dtype = torch.float32
    ):
        super().__init__()
        self.student, self.loss = student, loss
        self._ranks, self._dtype = ranks, dtype

    def forward(self, pixels: Tensor, taught: Taught) -> Losses:
        """Return what a batch lost, of which `pixels` (m, 3, s, s) are this rank's part."""
        with batch_norms_of(self._ranks), layers_in(self._dtype, pixels.device):
            features, logits = self.student(pixels)
        rows = len(taught.labels)
        return self.loss.forward(
            self._ranks.rows(features.float(), rows),
            self._ranks.rows(logits.float(), rows),
            taught.labels,
            taught.targets,
            labelled=taught.labelled,
            chosen=taught.chosen,
        )


class Steps:
    """Takes the steps of one epoch after another.

    Args:
        settings: of the run.
        training: the samples.
        labels: (n,) their class numbers, -1 where they have none.
        policy: gives the targets.
        pictures: gives the pixels.
        student: is trained.
        loss: what it is trained by.
        optimiser: moves the weights.
        average: of the weights, where one is kept.
        ranks: who train it together.
    """

    def __init__(
        self,
        settings: Settings,
        training: TrainingSet,
        labels: npt.NDArray[np.int64],
        policy: Policy | None,
        pictures: StudentPictures,
        *,
        student: Student,
        loss: DistillationLoss,
        optimiser: torch.optim.Optimizer,
        average: AveragedModel | None,
        ranks: Ranks,
    ):
        self._settings, self._training, self._labels = settings, training, labels
        self._policy, self._pictures = policy, pictures
        self._student, self._optimiser, self._average, self._ranks = student, optimiser, average, ranks
        self._device = next(student.parameters()).device
        self._learner: nn.Module = Learner(
            student, loss, ranks, layers_dtype(settings.precision, student, self._device)
        )
        if ranks.size > 1:
            # Of a weight of one place, by whose strides nothing is meant.
            warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
            # Batches may lack labels or targets, and so leave the head or the projection out; statistics are alike on all ranks.
            self._learner = DistributedDataParallel(
                self._learner, find_unused_parameters=True, forward_sync_buffers=False
            )

    def epoch(self, epoch: int) -> dict[str, float]:
        """Take the steps of an epoch, counted from 0 with those of pre-training, and return its figures."""
        settings, training = self._settings, self._training
        pretrains = epoch < settings.pretrain_epochs
        number, epochs = (
            (epoch, settings.pretrain_epochs) if pretrains else (epoch - settings.pretrain_epochs, settings.epochs)
        )
        batches = plan_epoch(
            training.ids,
            training.views,
            training.source.recipe,
            fresh=settings.crops == "fresh",
            ce_views="all" if pretrains else settings.ce_views,  # whole pictures have nothing to learn from yet
            size=settings.batch,
            seed=settings.seed,
            epoch=epoch,
            order=balanced_order(self._labels, settings.balance, seed=settings.seed, epoch=epoch),
        )
        # What layers draw, such as dropout, depends on the epoch alone, and on the rank.
        torch.manual_seed(settings.seed * 1_000_003 + epoch + (self._ranks.rank << 48))
        self._student.train()
        # Read once an epoch: a GPU would wait for each step.
        sums = torch.zeros(2, dtype=torch.float64, device=self._device)
        rate, ce_count, align_count = 0.0, 0, 0
        for step, (batch, pixels, targets) in enumerate(self._prefetch(batches, epoch * len(batches))):
            share = (number * len(batches) + step) / (epochs * len(batches))
            rate = settings.learning_rate * learning_rate_factor(settings.schedule, share, epochs)
            for group in self._optimiser.param_groups:
                group["lr"] = rate
            lost: Losses = self._learner(pixels, self._taught(batch, targets, pretrains=pretrains))
            self._optimiser.zero_grad(set_to_none=True)
            if lost.labelled or lost.aligned:  # a batch may have neither labels nor targets
                lost.total.backward()  # type: ignore[no-untyped-call]
                self._optimiser.step()
                if self._average is not None:
                    self._average.update_parameters(self._student)
            parts = torch.stack([lost.cross_entropy.detach(), lost.alignment.detach()]).double()
            sums += parts * torch.tensor([lost.labelled, lost.aligned], dtype=torch.float64).to(self._device)
            ce_count, align_count = ce_count + lost.labelled, align_count + lost.aligned
        ce_sum, align_sum = sums.tolist()
        figures = {"alignment": align_sum / max(1, align_count), "learning_rate": rate}
        return figures if pretrains else {"cross_entropy": ce_sum / max(1, ce_count), **figures}

    def _taught(self, batch: Batch, targets: Targets | None, *, pretrains: bool) -> Taught:
        """Return what a batch is taught; `targets` are those of its aligned samples."""
        labels = torch.from_numpy(self._labels[batch.samples]).to(self._device)
        labelled = torch.from_numpy(batch.labelled & (not pretrains)).to(self._device)
        if targets is None:
            return Taught(labels, labelled, None, None)
        rows, chosen = np.flatnonzero(batch.aligned), None
        vectors = np.zeros((len(batch.samples), targets.vectors.shape[1]), np.float32)
        vectors[rows[targets.known]] = targets.vectors[targets.known]
        if targets.chosen is not None:
            chosen = np.zeros(len(batch.samples), np.int64)
            chosen[rows] = targets.chosen
        return Taught(
            labels,
            labelled,
            torch.from_numpy(vectors).to(self._device),
            None if chosen is None else torch.from_numpy(chosen).to(self._device),
        )

    def _targets(self, batch: Batch, step: int) -> Targets | None:
        """Return the targets of a batch's aligned samples, those of other ranks too: the loss is that of the batch."""
        if self._policy is None:
            return None
        samples, views = batch.samples[batch.aligned], batch.views[batch.aligned]
        if self._settings.crops == "fresh" and not isinstance(self._policy, LivePolicy):
            # Fresh views have numbers of their own; what any view may have, the plain one has.
            views = np.zeros_like(views)
        return self._policy.targets(samples, views, step)

    def _prefetch(self, batches: Sequence[Batch], first_step: int) -> Iterator[tuple[Batch, Tensor, Targets | None]]:
        """Yield each batch with its targets and the pixels of this rank's part; those of the next one are read meanwhile.

        They are cut when it is its turn, so that cutting has torch's threads to itself: two sets of them beside each other would
        wait for each other's cores. A GPU has its own, so there the next batch is cut ahead, too. A live teacher reads ahead, and
        is asked when it is its turn.
        """
        positions, gpu = self._training.positions, self._device.type != "cpu"
        replays = self._settings.crops == "stored"
        live = self._policy if isinstance(self._policy, LivePolicy) else None

        def cut(batch: Batch, pictures: ReadPictures) -> Tensor:
            return self._pictures.cut_from(
                pictures, batch.cuts[self._ranks.part(len(batch.samples))], self._device if gpu else None
            )

        def read(number: int) -> tuple[ReadPictures, Tensor | None, Targets | None]:
            batch = batches[number]
            part = self._ranks.part(len(batch.samples))
            pictures = self._pictures.read(positions[batch.samples[part]], batch.numbers[part] if replays else None)
            ahead_cut = cut(batch, pictures) if gpu else None
            return pictures, ahead_cut, None if live is not None else self._targets(batch, first_step + number)

        def begin(number: int) -> Future[tuple[ReadPictures, Tensor | None, Targets | None]]:
            if live is not None:
                batch = batches[number]
                live.begin(batch.samples[batch.aligned], batch.views[batch.aligned], first_step + number)
            return ahead.submit(read, number)

        with ThreadPoolExecutor(1, thread_name_prefix="distill-ahead") as ahead:
            coming = begin(0)
            for number, batch in enumerate(batches):
                pictures, pixels, targets = coming.result()
                if number + 1 < len(batches):
                    coming = begin(number + 1)
                if pixels is None:
                    pixels = cut(batch, pictures)
                if live is not None:
                    targets = self._targets(batch, first_step + number)
                yield batch, pixels, targets
