"""How weights move, by the learning rate and their moving average, and which epoch's are the best."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

Tensors = tuple[Tensor, ...] | list[Tensor]


def learning_rate_factor(schedule: str, share: float, epochs: int) -> float:
    """Return the learning rate's factor at a share of the run: up over the first epoch, then as the schedule says.

    Args:
        schedule: `cosine`, down to 0, or `constant`.
        share: of the steps that are done, 0 to 1.
        epochs: of the run, or of this part of it.
    """
    warm = min(0.5, 1 / epochs)
    if share < warm:
        return max(0.05, share / warm)
    if schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (share - warm) / (1 - warm)))


def averaged(model: nn.Module, decay: float) -> AveragedModel:
    """Return an exponential moving average of a model's weights and batch statistics, to be updated after each step.

    While few steps are averaged the decay is smaller, so that the first weights are soon forgotten.
    """

    @torch.no_grad()
    def average(kept: Tensors, current: Tensors, steps: Tensor | int) -> None:
        if not torch.is_floating_point(kept[0]):  # counters
            for own, new in zip(kept, current, strict=True):
                own.copy_(new)
            return
        done = int(steps)
        torch._foreach_lerp_(kept, current, 1 - min(decay, (1 + done) / (10 + done)))

    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)


def best_epoch(history: Sequence[Mapping[str, float]]) -> int:
    """Return which epoch is the best on the validation side, counted from 1: by AUROC, then by average precision, then the later.

    Without a good label by accuracy. 0: none, since the validation side has no defect to tell from good ones.
    """

    def reached(at: int) -> tuple[float, ...]:
        figures = history[at]
        if "val_accuracy" in figures:
            return figures["val_accuracy"], at
        return figures["val_auroc"], figures["val_aupr"], at

    told = [at for at in range(len(history)) if all(map(math.isfinite, reached(at)))]
    return 1 + max(told, key=reached) if told else 0
