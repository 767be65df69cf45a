"""bfloat16 and channels side by side on GPUs only, and of a step the layers alone."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distill.losses import DistillationLoss
from distill.students import Student, make_student
from distill.training.precision import lay_out, layers_dtype
from distill.training.steps import Learner, Taught

CPU = torch.device("cpu")


def test_layers_compute_in_bfloat16_on_gpus_that_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    has_it = {"says": True}

    def told(*, including_emulation: bool = True) -> bool:
        return including_emulation or has_it["says"]

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", told)
    assert layers_dtype(torch.device("cuda", 0)) is torch.bfloat16
    has_it["says"] = False
    assert layers_dtype(torch.device("cuda", 0)) is torch.float32
    assert layers_dtype(CPU) is torch.float32


def test_weights_lie_by_channel_on_gpus_only(monkeypatch: pytest.MonkeyPatch) -> None:
    student = make_student("small", 2, 32, 0)
    asked: list[dict[str, Any]] = []
    move = nn.Module.to

    def moving(self: nn.Module, *where: Any, **how: Any) -> nn.Module:
        asked.append(how)
        return move(self, *(CPU if isinstance(at, torch.device) else at for at in where), **how)

    monkeypatch.setattr(nn.Module, "to", moving)
    weight: Tensor = student.get_parameter("trunk.layers.1.0.weight")
    lay_out(student, CPU)
    assert weight.is_contiguous()
    assert asked == [{}]
    lay_out(student, torch.device("cuda", 0))
    laid: Tensor = student.get_parameter("trunk.layers.1.0.weight")
    assert laid.is_contiguous(memory_format=torch.channels_last)
    assert not laid.is_contiguous()


def step(dtype: torch.dtype) -> tuple[Student, DistillationLoss, float]:
    """Take the losses of a batch and their gradients, and return what is left of it."""
    student, loss = make_student("small", 2, 32, 0), DistillationLoss(262, 4)
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (6, 3, 32, 32), generator=random, dtype=torch.uint8)
    targets = nn.functional.normalize(torch.randn(6, 4, generator=random), dim=1)
    taught = Taught(torch.arange(6) % 2, torch.ones(6, dtype=torch.bool), targets, None)
    seen: list[torch.dtype] = []
    student.trunk.layers[1].register_forward_hook(lambda _, __, maps: seen.append(maps.dtype))  # type: ignore[union-attr, index]
    lost = Learner(student, loss, dtype=dtype)(pixels, taught)
    assert seen == [dtype]
    assert {part.dtype for part in (lost.total, lost.cross_entropy, lost.alignment)} == {torch.float32}
    lost.total.backward()
    return student, loss, lost.total.item()


def test_of_a_step_in_bfloat16_losses_statistics_and_gradients_are_float32() -> None:
    (exact, _, expected), (student, loss, found) = step(torch.float32), step(torch.bfloat16)
    assert found != expected
    assert found == pytest.approx(expected, rel=0.02)
    kept = [*student.state_dict().items(), *loss.state_dict().items()]
    assert {value.dtype for name, value in kept if "num_batches" not in name} == {torch.float32}
    for (name, parameter), other in zip(student.named_parameters(), exact.parameters(), strict=True):
        assert parameter.grad is not None
        assert other.grad is not None
        assert parameter.grad.dtype is torch.float32
        alike = nn.functional.cosine_similarity(parameter.grad.flatten(), other.grad.flatten(), dim=0)
        assert alike > 0.9, name
