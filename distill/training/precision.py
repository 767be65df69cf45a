"""In what numbers a student's layers compute while it learns: bfloat16 where that is faster, else float32.

Weights, batch statistics and losses are float32 in any case, and so are validation, evaluation and what is exported.
"""

from contextlib import AbstractContextManager

import torch
from torch import nn

from distill.students import Student
from distill.students.residual import SmallTrunk
from embedstore.errors import SettingsError

_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")  # of processors, for bfloat16; without them it takes many times as long


def layers_dtype(precision: str, student: Student, device: torch.device) -> torch.dtype:
    """Return the type that a student's layers compute in on a device.

    On processors with instructions for it the students `small` and `medium` take little more than half the time in bfloat16;
    others, such as those with depthwise convolutions, may take twice as long, so only who asks for it gets it there.

    Args:
        precision: one of `settings.PRECISIONS`.
        student: that is trained.
        device: that it is trained on.

    Raises:
        SettingsError: bfloat16 was asked for, and the device has no instructions for it.
    """
    able = _has_bfloat16(device)
    if precision == "bfloat16" and not able:
        what = "GPU" if device.type == "cuda" else "processor"
        raise SettingsError(
            f"This {what} has no instructions for bfloat16 and would take many times as long; set the precision to 'auto' or "
            "'float32'."
        )
    gains = device.type == "cuda" or isinstance(student.trunk, SmallTrunk)
    wanted = precision == "bfloat16" or (precision == "auto" and gains)
    return torch.bfloat16 if able and wanted else torch.float32


def _has_bfloat16(device: torch.device) -> bool:
    """Return whether a device has instructions for bfloat16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    has = torch.cpu.get_capabilities()
    return any(bool(has.get(name)) for name in _INSTRUCTIONS)


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
