"""How weights move: the learning rate, step by step, and their moving average."""

import math

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
