"""bfloat16 where it is faster, channels side by side on GPUs only, and of a step the layers alone."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from toy_parts import make_store, parts, quick

import distill
from distill.losses import DistillationLoss
from distill.students import Student, make_student
from distill.students.residual import SmallTrunk
from distill.training.compare import train_ways
from distill.training.precision import lay_out, layers_dtype
from distill.training.run_directory import STUDENT
from distill.training.steps import Learner, Taught
from distill.training.task_file import read_task
from embedstore.errors import SettingsError, TrainingError

CPU = torch.device("cpu")


def test_layers_compute_in_bfloat16_on_gpus_that_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    has_it = {"says": True}

    def told(*, including_emulation: bool = True) -> bool:
        return including_emulation or has_it["says"]

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", told)
    gpu, student = torch.device("cuda", 0), make_student("small", 2, 32, 0)
    assert layers_dtype("auto", student, gpu) is torch.bfloat16
    assert layers_dtype("float32", student, gpu) is torch.float32
    has_it["says"] = False
    assert layers_dtype("auto", student, gpu) is torch.float32
    with pytest.raises(SettingsError, match="This GPU has no instructions for bfloat16"):
        layers_dtype("bfloat16", student, gpu)


@pytest.mark.parametrize("instructions", ["avx512_bf16", "amx_bf16", None])
def test_on_processors_with_instructions_for_it_the_own_students_compute_in_bfloat16(
    monkeypatch: pytest.MonkeyPatch, instructions: str | None
) -> None:
    has = {"avx512_f": True, "avx512_bf16": False} | ({instructions: True} if instructions else {})
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    auto = {name: layers_dtype("auto", make_student(name, 2, 32, 0), CPU) for name in ("small", "medium")}
    others = make_student("mobilenetv3_small_050", 2, 32, 0, pretrained=False)
    assert set(auto.values()) == {torch.bfloat16 if instructions else torch.float32}
    assert layers_dtype("auto", others, CPU) is torch.float32  # depthwise convolutions are slower in it
    assert layers_dtype("float32", make_student("small", 2, 32, 0), CPU) is torch.float32
    if instructions:
        assert layers_dtype("bfloat16", others, CPU) is torch.bfloat16
    else:
        with pytest.raises(
            SettingsError, match="This processor has no instructions for bfloat16 and would take many times"
        ):
            layers_dtype("bfloat16", others, CPU)


def test_a_run_learns_in_the_precision_that_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    seen: set[tuple[bool, torch.dtype]] = set()
    looked = SmallTrunk.forward

    def forward(trunk: SmallTrunk, pixels: Tensor) -> Tensor:
        features = looked(trunk, pixels)
        seen.add((trunk.training, trunk.layers[1][0](torch.zeros(1, 32, 4, 4)).dtype))  # type: ignore[index]
        return features

    monkeypatch.setattr(SmallTrunk, "forward", forward)
    store = make_store(tmp_path, parts(20, 10, 10))
    for precision, learning in (("float32", torch.float32), ("auto", torch.bfloat16)):
        seen.clear()
        run = distill.train(store, tmp_path / precision, quick(policy="own", precision=precision))
        assert seen == {(True, learning), (False, torch.float32)}  # validation and evaluation are float32 in any case
        weights = load_file(run.path / STUDENT)
        assert {value.dtype for value in weights.values() if value.is_floating_point()} == {torch.float32}
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    with pytest.raises(SettingsError, match="no instructions for bfloat16"):
        distill.train(store, tmp_path / "refused", quick(policy="own", precision="bfloat16"))
    assert not (tmp_path / "refused").exists()


def test_a_run_does_not_go_on_in_other_numbers_and_a_comparison_tells_of_them(tmp_path: Path) -> None:
    store = make_store(tmp_path, parts(split=False))
    train_ways(store, tmp_path / "out", {"none": quick()}, folds=5, seeds=1)
    run = tmp_path / "out" / "runs" / "none-fold0-seed0"
    description = json.loads((run / "run.json").read_text("utf-8"))
    here = str(layers_dtype("auto", make_student("small", 2, 32, 0), CPU)).removeprefix("torch.")
    assert description["layers"] == here
    there = ({"float32", "bfloat16"} - {here}).pop()
    (run / "run.json").write_text(json.dumps(description | {"layers": there}), "utf-8")
    _, remarks = train_ways(store, tmp_path / "out", {"none": quick()}, folds=5, seeds=1)  # all are finished
    assert any("Some runs of 'none' computed in bfloat16 and some in float32" in one for one in remarks)
    (run / STUDENT).unlink()
    with pytest.raises(
        TrainingError, match=rf"was begun in {there}, which .* here it would go on in {here}; go on with"
    ):
        distill.train(store, run, read_task(run / "task.toml"), resume=True)


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
