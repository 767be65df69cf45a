"""Alignment losses as plain modules: (m, d) projected student features against (m, d) targets of unit length.

All are about 1 for an unrelated prediction, so that lambda means about the same for each.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class BatchTargets:
    """The targets of a batch as tensors.

    Attributes:
        vectors: (m, d) of unit length.
        labels: (m,) class numbers, -1 where a sample has none.
        prototypes: (k, d) what the targets were chosen from, or None where each is its own.
        chosen: (m,) which of the prototypes each target is.
    """

    vectors: Tensor
    labels: Tensor
    prototypes: Tensor | None = None
    chosen: Tensor | None = None


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


class ContrastiveLoss(nn.Module):
    """Cross-entropy of picking the right target by cosine similarity over a temperature (CLIP, arXiv 2103.00020).

    Where the targets are prototypes, the others are the wrong answers. Where each sample has its own, the wrong answers
    are the targets of the batch's other samples, those of the same label left out: they are not wrong.
    """

    def __init__(self, temperature: float = 0.07):
        super().__init__()
        self.temperature = temperature

    def forward(self, predicted: Tensor, targets: BatchTargets) -> Tensor:
        """Return the loss of a batch."""
        directions = nn.functional.normalize(predicted, dim=1)
        if targets.prototypes is not None and targets.chosen is not None:
            return nn.functional.cross_entropy(directions @ targets.prototypes.T / self.temperature, targets.chosen)
        logits = directions @ targets.vectors.T / self.temperature
        same = (targets.labels[:, None] == targets.labels[None, :]) & (targets.labels >= 0)[:, None]
        own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
        return nn.functional.cross_entropy(
            logits.masked_fill(same & ~own, -torch.inf), torch.arange(len(logits), device=logits.device)
        )


def make_loss(name: str, temperature: float) -> nn.Module:
    """Return a loss by name; see `settings.LOSSES`."""
    if name == "contrastive":
        return ContrastiveLoss(temperature)
    return {"cosine": CosineLoss, "mse": SquaredLoss, "l1": AbsoluteLoss}[name]()
