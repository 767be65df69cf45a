"""Losses as plain modules: what a student is taught beside its labels.

The alignments compare (m, d) predictions with (m, d) targets of unit length. Distances are about 1 for an unrelated prediction,
so that lambda means about the same for each; contrasts are the logarithm of how many answers there are.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from distill.students import make_projection
from distill.training.settings import LOSSES, PROJECTIONS
from embedstore.errors import SettingsError


@dataclass(frozen=True)
class BatchTargets:
    """The targets of a batch as tensors.

    Attributes:
        vectors: (m, d) of unit length.
        labels: (m,) class numbers, -1 where a sample has none.
        prototypes: (k, d) what the targets were chosen from, or None where each is its own.
        chosen: (m,) which of the prototypes each target is.
        same: (m,) a number for each target, the same for the same ones before any map; None: it is told from the vectors.
    """

    vectors: Tensor
    labels: Tensor
    prototypes: Tensor | None = None
    chosen: Tensor | None = None
    same: Tensor | None = None


class CosineLoss(nn.Module):
    """1 - cos(prediction, target), averaged: 0 to 2."""

    def forward(self, predicted: Tensor, targets: BatchTargets) -> Tensor:
        """Return the loss of a batch."""
        return (1 - nn.functional.cosine_similarity(predicted, targets.vectors, dim=1)).mean()


class SquaredLoss(nn.Module):
    """Squared Euclidean distance, averaged over the batch (MSE times d, since targets have unit length)."""

    def forward(self, predicted: Tensor, targets: BatchTargets) -> Tensor:
        """Return the loss of a batch."""
        return (predicted - targets.vectors).square().sum(dim=1).mean()


class AbsoluteLoss(nn.Module):
    """L1 distance over the square root of d, averaged over the batch."""

    def forward(self, predicted: Tensor, targets: BatchTargets) -> Tensor:
        """Return the loss of a batch."""
        return (predicted - targets.vectors).abs().sum(dim=1).mean() / math.sqrt(predicted.shape[1])


def _numbered(targets: Tensor) -> Tensor:
    """Return a number for each target (m,), the same for the same targets."""
    numbers: Tensor = torch.unique(targets, dim=0, return_inverse=True)[1]
    return numbers


class ContrastiveLoss(nn.Module):
    """Cross-entropy of picking the right target by cosine similarity over a temperature (CLIP, arXiv 2103.00020).

    Where the targets are prototypes, the others are the wrong answers. Where each sample has its own, the wrong answers
    are the targets of the batch's other samples, those of the same label left out: they are not wrong.

    Args:
        temperature: of the similarities.
        all_wrong: of own targets, those of the same label are wrong answers too, as CLIP-Teacher-KD has it; but not the very same
            target once more, of a sample that stands in a batch twice.
    """

    def __init__(self, temperature: float = 0.07, *, all_wrong: bool = False):
        super().__init__()
        self.temperature, self.all_wrong = temperature, all_wrong

    def forward(self, predicted: Tensor, targets: BatchTargets) -> Tensor:
        """Return the loss of a batch."""
        directions = nn.functional.normalize(predicted, dim=1)
        if targets.prototypes is not None and targets.chosen is not None:
            return nn.functional.cross_entropy(directions @ targets.prototypes.T / self.temperature, targets.chosen)
        logits = directions @ targets.vectors.T / self.temperature
        own = torch.arange(len(logits), device=logits.device)
        if self.all_wrong:
            same = targets.same
            if same is None:
                same = _numbered(targets.vectors)
            right = same[:, None] == same
        else:
            right = (targets.labels[:, None] == targets.labels) & (targets.labels >= 0)[:, None]
        logits = logits.masked_fill(right & (own[:, None] != own), -torch.inf)
        return nn.functional.cross_entropy(logits, own)


def make_loss(name: str, temperature: float) -> nn.Module:
    """Return an alignment by name; see `settings.LOSSES`."""
    match name:
        case "cosine":
            return CosineLoss()
        case "mse":
            return SquaredLoss()
        case "l1":
            return AbsoluteLoss()
        case "contrastive":
            return ContrastiveLoss(temperature)
        case "contrastive-all":
            return ContrastiveLoss(temperature, all_wrong=True)
    raise SettingsError(f"The loss '{name}' is unknown; use one of {', '.join(LOSSES)}.")


class Losses(NamedTuple):
    """What a batch lost.

    Attributes:
        total: cross-entropy + lambda x alignment; what the gradient is taken of.
        cross_entropy: mean over the samples that count for it; 0 where none does.
        alignment: mean over the samples that have a target; 0 where none has.
        labelled, aligned: how many samples those are.
    """

    total: Tensor
    cross_entropy: Tensor
    alignment: Tensor
    labelled: int
    aligned: int


class DistillationLoss(nn.Module):
    """Cross-entropy on the label, where there is one, + lambda x alignment of the projected features with the target.

    It holds a learned map, `projection`, so its parameters belong into the optimiser beside the student's.

    Args:
        features: f, the length of the student's features.
        dim: d, the length of a target.
        alignment: one of `settings.LOSSES`.
        weight: lambda.
        temperature: of the contrastive alignments.
        projection: `student`: features are mapped to the targets' space, and targets are frozen. `teacher`: targets are
            mapped to the features' space, as CLIP-Embed-KD publishes it; this may send the targets anywhere.
        prototypes: (k, d) of unit length, what targets are chosen from; the contrastive alignment picks among them.
        class_shares: (classes,) share of each class in what is trained on, for `adjustment`.
        adjustment: tau of logit adjustment (arXiv 2007.07314): tau x log(share) is added to the logits in training only, so
            that rare classes are not answered too seldom. 0: none.
        seed: of the projection's weights.
    """

    prototypes: Tensor | None
    offsets: Tensor | None

    def __init__(
        self,
        features: int,
        dim: int,
        *,
        alignment: str = "cosine",
        weight: float = 1.0,
        temperature: float = 0.07,
        projection: str = "student",
        prototypes: Tensor | None = None,
        class_shares: Tensor | None = None,
        adjustment: float = 0.0,
        seed: int = 0,
    ):
        super().__init__()
        if projection not in PROJECTIONS:
            raise SettingsError(f"The projection '{projection}' is unknown; use one of {', '.join(PROJECTIONS)}.")
        if adjustment and class_shares is None:
            raise SettingsError("Logit adjustment needs the share of each class; give class_shares.")
        self.weight, self.on_teacher = weight, projection == "teacher"
        self.align = make_loss(alignment, temperature)
        ends = (dim, features) if self.on_teacher else (features, dim)
        self.projection = make_projection(*ends, seed)
        offsets = None
        if adjustment and class_shares is not None:
            smallest = torch.finfo(torch.float32).tiny  # a class that is never drawn has a finite logarithm, too
            offsets = adjustment * class_shares.float().clamp_min(smallest).log()
        # Not in the state: they belong to the data, not to what is learned.
        self.register_buffer("offsets", offsets, persistent=False)
        self.register_buffer("prototypes", prototypes, persistent=False)

    def forward(
        self,
        features: Tensor,
        logits: Tensor,
        labels: Tensor,
        targets: Tensor | None,
        *,
        labelled: Tensor | None = None,
        chosen: Tensor | None = None,
    ) -> Losses:
        """Return what a batch lost.

        Args:
            features: (m, f) of the student.
            logits: (m, classes) of the student.
            labels: (m,) class numbers; -1 where a sample has none.
            targets: (m, d) of unit length; a row of zeros where a sample has none. None: no sample has one.
            labelled: (m,) which samples count for the cross-entropy; None: all that have a label.
            chosen: (m,) which of the prototypes each target is; None: the one that it equals.
        """
        # Of a batch with neither labels nor targets the total is this, and can be differentiated like any other.
        nothing = logits.new_zeros((), requires_grad=logits.requires_grad)
        spoken = labels >= 0 if labelled is None else labelled & (labels >= 0)
        cross_entropy, count = nothing, int(spoken.sum())
        if count:
            adjusted = logits if self.offsets is None else logits + self.offsets
            said, right = _only(spoken, count, adjusted, labels)
            cross_entropy = nn.functional.cross_entropy(said, right)
        if targets is None:
            return Losses(cross_entropy, cross_entropy, nothing, count, 0)
        known = targets.any(dim=1)
        aligned = int(known.sum())
        if not aligned:
            return Losses(cross_entropy, cross_entropy, nothing, count, 0)
        if chosen is None and self.prototypes is not None:
            chosen = (targets @ self.prototypes.T).argmax(dim=1)
        predicted, wanted, of_label = _only(known, aligned, features, targets, labels)
        prototypes, same = self.prototypes, None
        if self.on_teacher:
            same = _numbered(wanted)  # a map may make all targets one, and none of them right for that
            # Of unit length both, as published: else the length of what is learned would decide the loss.
            predicted = nn.functional.normalize(predicted, dim=1)
            wanted = nn.functional.normalize(self.projection(wanted), dim=1)
            prototypes = None if prototypes is None else nn.functional.normalize(self.projection(prototypes), dim=1)
        else:
            predicted = self.projection(predicted)
        alignment: Tensor = self.align(
            predicted, BatchTargets(wanted, of_label, prototypes, None if chosen is None else chosen[known], same)
        )
        return Losses(cross_entropy + self.weight * alignment, cross_entropy, alignment, count, aligned)


def _only(these: Tensor, count: int, *parts: Tensor) -> tuple[Tensor, ...]:
    """Return the rows of tensors that are marked, `count` in number; all of them as they are, since gathering costs twice."""
    return parts if count == len(these) else tuple(part[these] for part in parts)
