"""In what numbers a student's layers compute while it learns: bfloat16 on GPUs, float32 on processors.

Processors take five to ten times as long in bfloat16. Weights, batch statistics and losses are float32 in any case, and so are
validation, evaluation and what is exported.
"""

from contextlib import AbstractContextManager

import torch
from torch import nn


def layers_dtype(device: torch.device) -> torch.dtype:
    """Return the type that a student's layers compute in on a device."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float32


def layers_in(dtype: torch.dtype, device: torch.device) -> AbstractContextManager[None]:
    """Let layers compute in a type while inside: bfloat16 by autocast; float32 changes nothing."""
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype is torch.bfloat16)


def lay_out(student: nn.Module, device: torch.device) -> None:
    """Move a student to a device; on GPUs its weights lie as convolutions read them: the channels of a place side by side."""
    student.to(device)
    if device.type == "cuda":
        student.to(memory_format=torch.channels_last)  # of 4 axes; all others stay as they are


def lay_out_averages(optimiser: torch.optim.Optimizer) -> None:
    """Let the averages that an optimiser loaded lie as its weights do, not as they did on the device that wrote them.

    Else a fused step on a processor would take each for that of another place of the weight, and one on a GPU would fail.
    """
    for weight, averages in optimiser.state.items():
        for name, average in averages.items():
            if average.shape == weight.shape:
                averages[name] = torch.empty_like(weight).copy_(average)
